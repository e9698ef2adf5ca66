"""Who can open copies: age recipients by name; adding one, removing one, rotating one.

Copies are encrypted to everybody in `age/recipients.txt` (`age1… # NAME`). A change holds for what is put from then on;
what is in the vaults already stays open to whoever could open it, until it is pruned there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from resilience.adapters.kit import Kit, refuse_strange
from resilience.errors import Refused, UsageError
from resilience.keys import RECIPIENTS, age_identity, keep

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class KitKeys:
    """The recipients of one fleet's kit."""

    kit: Kit

    def names(self) -> dict[str, str]:
        """Recipient by name; those that were listed without a name are known by the identity that the kit has."""
        found = {}
        for line in self._lines():
            recipient, _, name = line.partition("#")
            found[name.strip() or self._owner(recipient.strip())] = recipient.strip()
        return found

    def add(self, name: str, recipient: str | None = None) -> str:
        """Encrypt to one more from now on: somebody's own recipient, or a new identity that the kit keeps."""
        if name in self.names() or self._identity(name).exists():
            raise UsageError(f"There is a recipient {name}.", "Names are unique.", "Choose another name, or rotate it.")
        if recipient is None:
            recipient = self._make(name)
        refuse_strange(recipient)
        self._write({**self.names(), name: recipient})
        return recipient

    def remove(self, name: str) -> str:
        """Encrypt to this one no more; the kit keeps its identity, because what is there may need it."""
        known = self.names()
        if name not in known:
            raise _unknown(name, known)
        left = {other: recipient for other, recipient in known.items() if other != name}
        if not any(self._identity(other).exists() for other in left):
            raise Refused(
                f"Without {name} this kit could open nothing that is put from now on.",
                "No other recipient's identity is in it.",
                "Add one first: `resilience kit add NAME`.",
            )
        self._write(left)
        return known[name]

    def rotate(self, name: str) -> str:
        """A new identity in place of the old; both stay in the kit, because older copies need the old one."""
        known = self.names()
        path = self._identity(name)
        if name not in known or not path.exists():
            raise _unknown(name, known)
        recipient = self._make(name, path.read_text())
        self._write({**known, name: recipient})
        return recipient

    def _make(self, name: str, older: str = "") -> str:
        recipient, text = age_identity(older)
        keep(self._identity(name), text)
        return recipient

    def _write(self, recipients: dict[str, str]) -> None:
        text = "".join(f"{recipient} # {name}\n" for name, recipient in recipients.items())
        keep(self.kit.directory / RECIPIENTS, text.encode())

    def _lines(self) -> list[str]:
        lines = self.kit.recipients_text.splitlines()
        return [line for line in lines if line.startswith("age1")]

    def _owner(self, recipient: str) -> str:
        files = sorted((self.kit.directory / "age").glob("*.txt"))
        named = [file.stem for file in files if file.stem != "recipients" and recipient in file.read_text()]
        return named[0] if named else recipient

    def _identity(self, name: str) -> Path:
        if not NAME.fullmatch(name) or name == "recipients":
            raise UsageError(f"{name} is no name for a recipient.", "It becomes a file's name.", "Use a-z, 0-9 and -.")
        return self.kit.directory / "age" / f"{name}.txt"


def _unknown(name: str, known: dict[str, str]) -> UsageError:
    return UsageError(
        f"There is no recipient {name} of this kit's own.", "It can't be changed.", f"There are: {', '.join(known)}."
    )
