"""What each of a vault's principals may do: one table, which every store enforces in its own way.

ship      creates WAL, pictures, ledger, labels and the snapshot's data; never reads or removes them;
          in a rehearsal the same below a name of its own
standby   creates the data of a standby's snapshots, in a place that ship doesn't reach; never reads or removes it
reader    reads and lists everything
operator  reads, lists, writes and removes every object
"""

from __future__ import annotations

import re

PRINCIPALS = ("ship", "standby", "reader", "operator")
REHEARSALS = "rehearsal/"
"""Below it a rehearsal's host keeps what it puts; nothing of the fleet's is there, so ship may read it back."""
SHIP_CREATES = ("wal/", "media/", "ledger/", "label/", REHEARSALS)
SHIP_READS = ("epoch/", REHEARSALS)
START = re.compile(r"wal/\d{8}/start(-\d{8})?$")
"""ship reads back how an epoch began: another spool's start record stops it."""
SHIP_LISTS = ("epoch/", "restic/", REHEARSALS)
REPOSITORIES = {"ship": "restic/", "standby": "standby/"}
"""Below which prefix each of them keeps snapshots."""
REPOSITORY = re.compile(r"(?P<place>restic/|standby/)\d{8}/(?P<part>[a-z]+)(/|$)")
"""One restic repository an epoch and principal; `part` is what restic calls the folder."""
RESTIC = {
    "create": {"data", "index", "snapshots", "locks"},
    "read": {"config", "keys", "index", "snapshots", "locks"},
    "remove": {"locks"},
}
"""restic reads its own index and keys to know what is there already; the data stays unreadable."""


def beneath(rehearsal: str) -> str:
    """The prefix of all that this rehearsal puts; empty outside of one."""
    return f"{REHEARSALS}{rehearsal}/" if rehearsal else ""


def may(principal: str, verb: str, key: str) -> bool:
    """Whether a principal may `create`, `replace`, `read`, `list` or `remove` this key (or prefix)."""
    if principal == "operator":
        return True
    if principal == "reader":
        return verb in {"read", "list"}
    if principal not in REPOSITORIES:
        return False
    found = REPOSITORY.match(key)
    if found and verb != "list":
        return found["place"] == REPOSITORIES[principal] and found["part"] in RESTIC.get(verb, set())
    if principal == "standby":
        return verb == "list" and key.startswith(REPOSITORIES[principal])
    if verb == "read" and START.match(key):
        return True
    allowed = {"create": SHIP_CREATES, "read": SHIP_READS, "list": SHIP_LISTS}
    return key.startswith(allowed.get(verb, ()))
