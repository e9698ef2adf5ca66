"""What each of a vault's three principals may do: one table, which every store enforces in its own way.

ship      creates WAL, pictures, ledger, labels and the snapshot's data; never reads or removes them;
          in a rehearsal the same below a name of its own
reader    reads and lists everything
operator  reads, lists, writes and removes every object
"""

from __future__ import annotations

import re

REHEARSALS = "rehearsal/"
"""Below it a rehearsal's host keeps what it puts; nothing of the fleet's is there, so ship may read it back."""
SHIP_CREATES = ("wal/", "media/", "ledger/", "label/", REHEARSALS)
SHIP_READS = ("epoch/", REHEARSALS)
START = re.compile(r"wal/\d{8}/start(-\d{8})?$")
"""ship reads back how an epoch began: another spool's start record stops it."""
SHIP_LISTS = ("epoch/", "restic/", REHEARSALS)
REPOSITORY = re.compile(r"restic/\d{8}/(?P<part>[a-z]+)(/|$)")
"""One restic repository an epoch; `part` is what restic calls the folder."""
RESTIC = {
    "create": {"data", "index", "snapshots", "locks"},
    "read": {"config", "keys", "index", "snapshots", "locks"},
    "remove": {"locks"},
}
"""restic reads its own index and keys to know what is there already; the data stays unreadable."""


def may(principal: str, verb: str, key: str) -> bool:
    """Whether a principal may `create`, `replace`, `read`, `list` or `remove` this key (or prefix)."""
    if principal == "operator":
        return True
    if principal == "reader":
        return verb in {"read", "list"}
    if principal != "ship":
        return False
    found = REPOSITORY.match(key)
    if found and verb != "list":
        return found["part"] in RESTIC.get(verb, set())
    if verb == "read" and START.match(key):
        return True
    allowed = {"create": SHIP_CREATES, "read": SHIP_READS, "list": SHIP_LISTS}
    return key.startswith(allowed.get(verb, ()))
