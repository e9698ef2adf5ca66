"""The ledger: takedowns, erasures and what is hidden, append-only, signed, each naming the hash of the one before.

An entry is one file, `<seq, 8 digits>.json`: canonical JSON (sorted keys, no spaces, UTF-8).
The signature covers the canonical JSON without `signature`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from resilience.plaza import files
from resilience.plaza.errors import LedgerBroken, PlazaError
from resilience.plaza.settings import Settings

GENESIS = "0" * 64
TAKEDOWN = "takedown"
ERASE_STATUS = "erase-status"
ERASE_ACCOUNT = "erase-account"
ERASE_PICTURES = "erase-pictures"
HIDE, UNHIDE = "hide", "unhide"
SUSPEND, UNSUSPEND = "suspend", "unsuspend"
KEYRING = "keyring"
"""Names keyrings before they are made, and when they are dropped; they go once no row names them."""
TAKEN_BACK = ((HIDE, UNHIDE), (SUSPEND, UNSUSPEND))
"""What the last entry about a post or an account decides."""
NEXT = "Fetch the ledger again from the vaults; nothing from this entry on was applied."


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, with the exact bytes that were signed and hashed."""

    seq: int
    action: str
    subject: Mapping[str, str]
    media: tuple[str, ...]
    reason: str
    by: str
    at: str
    body: bytes
    rows: tuple[int, ...] = ()
    """Of pictures that nothing showed any more: their rows, wherever an older database has them still."""

    @property
    def sha256(self) -> str:
        """What the next entry calls `prev`."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def status_id(self) -> int | None:
        """The post this entry is about, if it is about one."""
        status = self.subject.get("status")
        return None if status is None else int(status)

    @property
    def account_id(self) -> int | None:
        """The author of the post, or the account that is erased or suspended."""
        author = self.subject.get("author")
        return None if author is None else int(author)

    @property
    def removes(self) -> bool:
        """Whether what it is about is gone for good."""
        return self.action in (TAKEDOWN, ERASE_STATUS, ERASE_ACCOUNT)


@dataclass(frozen=True, slots=True)
class Draft:
    """What an entry is to say, before it has a place in the chain."""

    action: str
    subject: Mapping[str, str]
    media: tuple[str, ...]
    reason: str
    by: str
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The chain as far as it can be trusted, and what is wrong after that."""

    entries: list[Entry]
    broken: LedgerBroken | None

    @property
    def head(self) -> str:
        """Hash of the last good entry."""
        return self.entries[-1].sha256 if self.entries else GENESIS


def in_force(entries: Iterable[Entry], on: str, off: str) -> list[tuple[Entry, bool]]:
    """For each post or account the last entry that says `on` or `off`, and whether it says `on`."""
    last: dict[tuple[int | None, int | None], Entry] = {}
    for entry in entries:
        if entry.action in (on, off):
            last[entry.status_id, entry.account_id] = entry
    return [(entry, entry.action == on) for entry in last.values()]


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one way to write a JSON object."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class Ledger:
    """The directory of entries and the key that signs them."""

    def __init__(self, directory: Path, outbox: Path, held: Path, key: Path, prefix: str = "") -> None:
        self._directory = directory
        self._outbox = outbox / "ledger"
        self._held = held / "ledger"
        self._key = _load_key(key)
        self._public = self._key.public_key()
        self._prefix = prefix.encode()

    @classmethod
    def of(cls, settings: Settings) -> Ledger:
        """The ledger where the settings say."""
        folders = settings.ledger_dir, settings.outbox_dir, settings.held_dir
        return cls(*folders, settings.ledger_key, settings.ledger_prefix)

    @property
    def public_hex(self) -> str:
        """The public key, as others check signatures with it."""
        return self._public.public_bytes_raw().hex()

    def sign(self, payload: bytes) -> str:
        """A signature over an entry, or something else such as a list of evidence; of a rehearsed copy it holds there alone."""
        return self._key.sign(self._prefix + payload).hex()

    def key_for(self, purpose: str) -> bytes:
        """A key of its own for something else that all sites of a fleet must be able to open (HKDF, RFC 5869)."""
        derived = HKDF(hashes.SHA256(), 32, None, f"plaza {purpose}".encode()).derive(self._key.private_bytes_raw())
        return base64.urlsafe_b64encode(derived)

    def path(self, seq: int) -> Path:
        """Where an entry is, or would be."""
        return self._directory / f"{seq:08d}.json"

    def append(self, seq: int, prev: str, draft: Draft) -> Entry:
        """Write the next entry durably and hand it to the shipper."""
        fields: dict[str, Any] = {
            "seq": seq,
            "prev": prev,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "action": draft.action,
            "subject": dict(draft.subject),
            "media": list(draft.media),
            "reason": draft.reason,
            "by": draft.by,
            **({"rows": [str(row) for row in draft.rows]} if draft.rows else {}),
        }
        body = canonical({**fields, "signature": self.sign(canonical(fields))})
        return self.restore(_entry(fields, body))

    def restore(self, entry: Entry) -> Entry:
        """Put an entry's exact bytes where they belong; refuses to replace others."""
        if not files.publish(self.path(entry.seq), entry.body):
            raise LedgerBroken(
                f"Ledger entry {entry.seq} was not written",
                "another entry already has this place",
                "Stop whatever else writes to this directory.",
            )
        self.hand_over([entry])
        return entry

    def hand_over(self, entries: Iterable[Entry]) -> None:
        """Give entries to the shipper, durably, but for those that are known to be held elsewhere."""
        files.hand_over_all([self.path(e.seq) for e in entries if not self.is_held(e.seq)], self._outbox)

    def is_held(self, seq: int) -> bool:
        """Whether enough vaults hold this entry."""
        return (self._held / f"{seq:08d}").exists()

    def has(self, seq: int) -> bool:
        """Whether the directory has this entry."""
        return self.path(seq).exists()

    def read(self, after: Entry | None = None) -> Reading:
        """Every entry after the given one, in order, as far as chain and signatures hold."""
        entries: list[Entry] = []
        seq, prev = (after.seq, after.sha256) if after else (0, GENESIS)
        for number in (n for n in self._numbers() if n > seq):
            try:
                entry = self._check(number, seq + 1, prev)
            except LedgerBroken as broken:
                return Reading(entries, broken)
            entries.append(entry)
            seq, prev = entry.seq, entry.sha256
        return Reading(entries, None)

    def parse(self, body: bytes, seq: int, prev: str) -> Entry:
        """An entry from its bytes, if it belongs exactly here and was signed by our key."""
        what = f"Ledger entry {seq} can't be trusted"
        try:
            fields = json.loads(body)
            signature = bytes.fromhex(fields.pop("signature"))
            entry = _entry(fields, body)
            found = (fields["seq"], fields["prev"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LedgerBroken(what, f"it can't be read ({error!r})", NEXT) from None
        if canonical({**fields, "signature": signature.hex()}) != body:
            raise LedgerBroken(what, "it is not in canonical form", NEXT)
        if not any(_signed(self._public, signature, prefix + canonical(fields)) for prefix in {b"", self._prefix}):
            raise LedgerBroken(what, "its signature is not ours", NEXT)
        if found != (seq, prev):
            raise LedgerBroken(what, f"it says it is {found[0]} after {found[1][:12]}…", NEXT)
        return entry

    def _check(self, number: int, seq: int, prev: str) -> Entry:
        if number != seq:
            raise LedgerBroken(f"Ledger entry {seq} is missing", f"{number} is there", NEXT)
        return self.parse(self.path(seq).read_bytes(), seq, prev)

    def _numbers(self) -> list[int]:
        names = (path.stem for path in self._directory.glob("[0-9]*.json"))
        return sorted(int(name) for name in names if len(name) == 8 and name.isdigit())


def _entry(fields: Mapping[str, Any], body: bytes) -> Entry:
    return Entry(
        seq=int(fields["seq"]),
        action=str(fields["action"]),
        subject={str(k): str(int(v)) for k, v in fields["subject"].items()},
        media=tuple(_sha(item) for item in fields["media"]),
        reason=str(fields["reason"]),
        by=str(fields["by"]),
        at=str(fields["at"]),
        body=body,
        rows=tuple(int(row) for row in fields.get("rows", ())),
    )


def _sha(text: str) -> str:
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError("a picture's name is not a sha256")
    return text


def _signed(key: Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    try:
        key.verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def _load_key(path: Path) -> Ed25519PrivateKey:
    what = "The ledger's key can't be used"
    hint = "Put the site's Ed25519 private key (PEM) there; LEDGER_KEY names the file."
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise PlazaError(what, f"{path}: {error}", hint) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PlazaError(what, f"{path} is not an Ed25519 key", hint)
    return key
