"""Probe a vault: a double conditional create, a read after write, and what each principal must be refused.

About a dozen requests on one small object, under an epoch that never exists, removed at the end.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from resilience.errors import MissingPart, ResilienceError, VaultError, VaultSilent
from resilience.model import Event
from resilience.model.probe import Probe, Trial
from resilience.ports import Log, Vault
from resilience.replication.mirrored import Mirrored, WritesOver
from resilience.replication.originals import KeepsVersions

FOLDER = "wal/00000000/probe-"
COPIES_ONLY = "Write copies_only = true for this vault: it may hold copies, and never counts in n."
RIGHTS = "Give this principal the rights in docs/threat-model.md, and no more."
VERSIONS = (
    "Let its bucket keep versions, and give ship no right to remove one; else whoever has the primary destroys it."
)
MIRROR = "See its endpoint, its folder, and the operator's rights and quota there."
READS = "Give it an account that only reads. Where there is none, leave reader out of the kit: hosts then never see it."
Found = tuple[bool, str]
"""Whether it is as it should be, and what was seen."""


def probe(vault: str, principals: Mapping[str, Vault]) -> Probe:
    """Try what this vault's store does for `operator`, `ship` and `reader`; one that is not given is not tried."""
    operator = principals["operator"]
    writer, reader = principals.get("ship", operator), principals.get("reader", operator)
    key = f"{FOLDER}{secrets.token_hex(8)}"
    trials = [
        _try("read-after-write", lambda: _read_after_write(writer, reader, key), COPIES_ONLY),
        _try("conditional-create", lambda: _once(writer, reader, key), COPIES_ONLY),
    ]
    if "ship" in principals:
        trials += [
            _try("ship-may-not-delete", lambda: _refused(lambda: writer.delete(key), operator, key), RIGHTS),
            _try("ship-may-not-read", lambda: _refused(lambda: writer.get(key), operator, key), RIGHTS),
            _try("ship-may-not-read-snapshots", lambda: _snapshots_refused(writer, operator, key), RIGHTS),
            _try(
                "ship-may-not-seal", lambda: _refused(lambda: writer.put_new(_seal(key), b"probe"), None, key), RIGHTS
            ),
        ]
    if "reader" in principals:
        other = f"{key}-reader"
        trials += [
            _try("reader-may-not-write", lambda: _refused(lambda: reader.put_new(other, b"probe"), None, key), RIGHTS),
            _try("reader-may-not-delete", lambda: _refused(lambda: reader.delete(key), operator, key), RIGHTS),
        ]
    if "ship" in principals and isinstance(writer, WritesOver):
        trials.append(_try("written-over-survives", lambda: _survives(writer, reader, key), VERSIONS))
    trials.append(_try("operator-may-delete", lambda: _cleaned(operator, key), RIGHTS))
    return Probe(vault, tuple(trials))


def probe_mirror(vault: str, principals: Mapping[str, Vault]) -> Probe:
    """Try a store that only holds copies: what is written is read back, and whoever reads may do no more."""
    operator = principals["operator"]
    reader, key = principals.get("reader", operator), f"{FOLDER}{secrets.token_hex(8)}"
    trials = [
        _try("read-after-write", lambda: _copied(operator, reader, key), MIRROR),
        _try("conditional-create", lambda: _once(operator, reader, key), COPIES_ONLY),
    ]
    if "reader" in principals:
        other = f"{key}-reader"
        trials += [
            _try("reader-may-not-write", lambda: _refused(lambda: reader.put_new(other, b"probe"), None, key), READS),
            _try("reader-may-not-delete", lambda: _refused(lambda: reader.delete(key), operator, key), READS),
        ]
    trials.append(_try("operator-may-delete", lambda: _cleaned(operator, key), RIGHTS))
    return Probe(vault, tuple(trials), mirror=True)


def note(log: Log, now: float, seen: Probe) -> None:
    """Keep what was seen, so that `status` knows which vaults a stolen credential could destroy."""
    open_ = {t.name: t.said for t in seen.trials if t.outcome != "pass"}
    log.append(Event(now, "probed", {"vault": seen.vault, "open": open_}))


def _try(name: str, trial: Callable[[], Found], advice: str) -> Trial:
    """One trial; a store that did not let itself be tried is unknown, never passed."""
    try:
        well, said = trial()
    except MissingPart:
        raise
    except ResilienceError as error:
        unsupported = "501" in error.why or "NotImplemented" in error.why
        return Trial(name, "fail" if unsupported else "unknown", f"{error.what}: {error.why}", advice)
    return Trial(name, "pass" if well else "fail", said, "" if well else advice)


def _read_after_write(writer: Vault, reader: Vault, key: str) -> Found:
    if reader.get(key) is not None or reader.exists(key):
        return False, "an object that was never put seems to be there"
    if not writer.put_new(key, b"first"):
        return False, "a new object could not be created: something seems to be there"
    if reader.get(key) != b"first" or not reader.exists(key):
        return False, "what was just put is not read back"
    return True, "absent before, read back after"


def _copied(writer: Vault, reader: Vault, key: str) -> Found:
    if reader.exists(key):
        return False, "an object that was never put seems to be there"
    Mirrored(writer, "", writer.name).put_over(key, b"first")
    return reader.get(key) == b"first" and key in reader.list(FOLDER), "written, read back, listed"


def _once(writer: Vault, reader: Vault, key: str) -> Found:
    if not reader.exists(key) and not writer.put_new(key, b"first"):
        return False, "a new object could not be created"
    if writer.put_new(key, b"second"):
        return False, "a second create of the same object went through: two epochs could both be sealed"
    if reader.get(key) != b"first":
        return False, "the second create was refused, and still changed the object"
    return True, "of two creates, one"


def _refused(attempt: Callable[[], object], looks: Vault | None, key: str) -> Found:
    """Whether the store refused; where somebody can look, the object must still be as it was."""
    try:
        attempt()
    except VaultSilent:
        raise
    except VaultError as error:
        if looks is not None and looks.get(key) != b"first":
            return False, "it was refused, and still the object is gone or changed"
        return True, f"refused: {error.why[:120]}"
    return False, "the store let it happen"


def _snapshots_refused(writer: Vault, operator: Vault, key: str) -> Found:
    """Whether ship, which knows restic's password, is refused what restic keeps of the database."""
    held = _snapshot(key)
    if not operator.put_new(held, b"first"):
        return False, "an object that the operator put could not be created"
    return _refused(lambda: writer.get(held), operator, held)


def _survives(writer: WritesOver, looks: Vault, key: str) -> Found:
    """Whether an object that ship writes over is refused, or can be read as it was put first."""
    try:
        writer.put_over(key, b"written over")
    except VaultSilent:
        raise
    except VaultError as error:
        return looks.get(key) == b"first", f"refused: {error.why[:120]}"
    first = looks.first(key) if isinstance(looks, KeepsVersions) else None
    kept = first == b"first"
    return kept, f"ship wrote over an object, and what was put first is {'still read' if kept else 'gone'}"


def _cleaned(operator: Vault, key: str) -> Found:
    for name in (key, f"{key}-reader", _seal(key), _snapshot(key)):
        try:
            operator.erase(name)
        except VaultError:  # a lock holds it back: then it is hidden
            operator.delete(name)
    return not operator.exists(key), "removed"


def _seal(key: str) -> str:
    """A name under epoch/ that no reader takes for an epoch."""
    return f"epoch/{key.rpartition('/')[2]}"


def _snapshot(key: str) -> str:
    """A name among a repository's data, of an epoch that never exists."""
    return f"restic/00000000/data/00/{key.rpartition('/')[2]}"
