"""What the Pulumi engine's failures mean, said in our words."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from resilience.adapters.answers import CLOSED, closed_in
from resilience.adapters.vendor_words import meaning
from resilience.errors import Locked, MissingPart, ResilienceError, VendorClosed
from resilience.model import Site

UNFIT = re.compile(r"an unhandled error occurred: (?:.*(?P<look_up>invoke of \S+) failed: )?(?P<why>.+(?:\n\s*\* .+)*)")
"""Our own program ended before anything was made: by itself, or because a look-up failed."""
NO_PLUGIN = re.compile(
    r"no resource plugin '(?P<plugin>pulumi-resource-(?P<name>[\w-]+))'.*?version (?P<version>v[\w.+-]+)"
)
API_SAID = re.compile(r"account-api (?P<url>\S+) status=(?P<status>\d+) code=(?P<code>[^\s:]+): ?(?P<text>.*)")


class StackFailed(ResilienceError):
    """The engine could not make or destroy a site; what it finished is kept in the state."""


def check_passphrase(file: Path) -> None:
    """Say so before the engine does, which would ask a terminal for it."""
    if not file.is_file():
        raise MissingPart(
            f"The passphrase file {file} is missing",
            "The stack's secrets are encrypted with it; without it no site can be made or destroyed.",
            "Put the kit back in place, or join the shares of its keys.",
        )


def translate(output: str, site: Site, verb: str) -> ResilienceError:
    """The engine's complaint as one of our errors."""
    if "incorrect passphrase" in output:
        return MissingPart(
            f"{site.name}: the passphrase does not open the stack's state",
            "The state was encrypted with another passphrase than the kit holds.",
            "Put the passphrase of this fleet's kit back in place and run the same command again.",
        )
    if "currently locked by" in output:
        return Locked(
            f"{site.name}: somebody else is at work on this stack",
            _line_with(output, "created by") or "The engine found the stack's lock held.",
            "Wait until that command has ended, then run the same command again.",
        )
    if refused := API_SAID.search(output):
        return _refused(refused, site, verb)
    if lacking := NO_PLUGIN.search(output):
        return MissingPart(
            f"{site.name}: the engine has no {lacking['plugin']} {lacking['version']}",
            f"It is the vendor's provider; the {site.stack} stack can do nothing without it. Nothing was made.",
            f"Once, with a network: `pulumi plugin install resource {lacking['name']} {lacking['version']}`; or put it on PATH.",
        )
    if code := closed_in(output):
        return VendorClosed(site.vendor, code)
    return _ended(output, site, verb)


def _ended(output: str, site: Site, verb: str) -> StackFailed:
    """What our program or a provider said last."""
    unfit = UNFIT.search(output)
    if unfit and not unfit["look_up"]:
        return StackFailed(
            f"{site.name}: the {site.stack} stack can't make what the fleet file asks for",
            unfit["why"].strip(),
            "Nothing was made. Change it in the fleet file, then run the same command again.",
        )
    if meant := meaning(output):
        return StackFailed(f"{site.name}: at {site.vendor} {meant.what}", _complaint(output), meant.next)
    if unfit:
        return StackFailed(
            f"{site.name}: {site.vendor} did not tell what is looked up before anything is made ({unfit['look_up'].split()[-1]})",
            " ".join(unfit["why"].split()),
            "Nothing was made. Mend what it names (an image, a type, a region), then run the same command again.",
        )
    return StackFailed(
        f"{site.name}: the engine could not {verb} the site",
        _complaint(output),
        "Run the same command again: what was finished is kept and not done twice.",
    )


def left_over(site: Site, begun: Sequence[str], found: Sequence[str]) -> StackFailed:
    """The error for what a killed run made, and could not note any more."""
    what = ", ".join(urn.rpartition("::")[0].rpartition("$")[2].rpartition("::")[2] for urn in begun)
    return StackFailed(
        f"{site.name}: an earlier run was ended while {site.vendor} made {what}, and no state knows {', '.join(found)}.",
        "It carries this site's marks. A second one beside it would be paid for, and might be taken for the site.",
        f"Look at it at {site.vendor}: remove it there if it never served (a site that serves is in an older state: "
        f"`resilience stack restore {site.name}`). Then run the same command again.",
    )


def lock_is_alive(file: Path, site: Site) -> bool:
    """Whether the engine that wrote this lock still runs; one on another machine counts as running."""
    try:
        lock = json.loads(file.read_bytes())
        pid, host = int(lock["pid"]), str(lock["hostname"])
    except (OSError, ValueError, KeyError):
        return False
    if host != socket.gethostname():
        return True
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"pulumi" in command and site.name.encode() in command


def locked(site: Site, file: Path) -> Locked:
    """The error for a lock whose holder is alive."""
    lock = json.loads(file.read_bytes())
    return Locked(
        f"{site.name}: process {lock['pid']} on {lock['hostname']} is at work on this stack",
        f"It took the stack's lock at {lock.get('timestamp', 'an unknown time')}.",
        "Wait until it has ended; if that machine is gone, remove the lock with `pulumi cancel`.",
    )


def broken_state(site: Site, file: Path, why: str) -> StackFailed:
    """The error for a state file that cannot be read."""
    return StackFailed(
        f"{site.name}: the state in {file.name} cannot be read",
        why,
        f"Move {file} away, then bring the state back from the vaults: `resilience stack restore {site.name}`.",
    )


def _refused(said: re.Match[str], site: Site, verb: str) -> ResilienceError:
    """What the vendor's account API answered to one of our calls."""
    code = said["code"]
    closed = [word for word in code.split(",") if word in CLOSED]
    if closed:
        return VendorClosed(site.vendor, closed[0])
    nexts = {
        "NoAnswer": "See whether the vendor's API can be reached from here, then run the same command again.",
        "NoToken": f"Put {site.vendor}'s account token into the kit, then run the same command again.",
    }
    return StackFailed(
        f"{site.name}: {site.vendor}'s account API did not {verb} the site (status {said['status']}, {code})",
        said["text"].strip() or "It gave no reason.",
        nexts.get(code, "Mend what it names, then run the same command again: nothing is made twice."),
    )


def _line_with(output: str, word: str) -> str:
    """The first line that holds this word."""
    return next((line.strip() for line in output.splitlines() if word in line), "")


def _complaint(output: str) -> str:
    """The engine's own error lines, or its last words."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "* ")) or "Error" in line]
    return "\n".join((errors or lines)[-6:])[:1500]
