"""Names of objects in a vault. README.md says what each holds."""

from __future__ import annotations

import re
from typing import NamedTuple

EPOCH = "epoch/"
WAL = "wal/"
MEDIA = "media/"
LEDGER = "ledger/"
LABEL = "label/"
SUFFIX, BY_STANDBY = ".json", ".standby.json"
"""How a label's name ends: one that the site signed, and one that the operator signed for a standby."""
STANDBY = "standby/"
VERIFIED = "verified/"
STATE = "state/"
POSITION = re.compile(r"[0-9A-F]{16}")
NEAR = 16 << 20
"""A chunk is smaller than this, so the one that holds a position begins within it, or within the one before."""
RECORD, CHUNK, FILE, ANY = 1 << 20, 9 << 20, 66 << 20, 256 << 20
"""Bytes that an object has at most, by its kind. A record: a start with a timeline's history, or a label with pg_control, has some KiB. A
chunk: ship puts 4 MiB of WAL and one message of Postgres into one, and nobody unpacks more than 8 MiB; what can't be packed grows by
a thousandth, sealed as much again and a line for each recipient. A file: the app hands over 64 MiB at most, sealed likewise; the state
of a stack is far below. Any: twice the largest thing that is got whole, a mirror's copy of the packages hosts are set up from."""
MOST = {
    WAL: RECORD,
    EPOCH: RECORD,
    LABEL: RECORD,
    VERIFIED: RECORD,
    "tls/": RECORD,
    "order/": RECORD,
    "supplies/signed-": RECORD,
    MEDIA: FILE,
    LEDGER: FILE,
    STATE: FILE,
    "supplies/": ANY,
    "restic/": ANY,
    STANDBY: ANY,
}
"""By how a kind's names begin; what is read by listing all of it is a record, so that nobody's memory is filled."""
KIND = re.compile(rf"(rehearsal/[^/]+/|[^/]+/)??(?P<kind>{'|'.join(MOST)})")
"""The folder that tells what an object is, also below a rehearsal's name or, in a mirror, a vault's."""
GUARDED = re.compile(r"wal/\d{8}/|label/|ledger/", re.ASCII)
"""What a thief with a site's key can make anew, so that it is read as good whenever it was put; all else the operator signs, or its
content names it."""
NUMBERED = re.compile(r"epoch/(?P<number>\d{8})\.json", re.ASCII)
KEPT = re.compile(r"state/[^/]+/(?P<at_ms>\d{1,16})\.json", re.ASCII)
LABELLED = re.compile(r"label/\d{8}/(?P<start>[0-9A-F]{16})-(?P<snapshot>[0-9a-f]+)(\.standby)?\.json", re.ASCII)
ENTRY = re.compile(r"ledger/(?P<epoch>\d{8})/(?P<seq>\d{8})")
WHOLE = re.compile(r"media/[^./]+")
PART = re.compile(r"media/(?P<picture>[^./]+)\.(?P<payload>[0-9a-f]{64})\.(?P<kind>header|payload)")


class Part(NamedTuple):
    """One of the two objects of a picture that is kept apart."""

    picture: str
    payload: str
    """sha256 of the payload, also in its header's name: so the two of one sealing are never taken for another's."""
    is_header: bool


def guarded(key: str) -> str | None:
    """Below what a key is looked for, of those whose objects a site's signature or any recipient makes good; None for all others.

    That is its folder, and of an epoch's records, which are read where nobody wants its chunks, their name alone.
    """
    found = GUARDED.match(key)
    if found is None:
        return None
    by_name = key != found.group() and key.startswith(WAL) and chunk_start(key) is None
    return key if by_name else found.group()


def most(key: str) -> int:
    """Bytes that an object of this name has at most: what is larger, somebody put there to fill a reader's memory."""
    found = KIND.match(key)
    kind = found["kind"] if found else ""
    return CHUNK if kind == WAL and chunk_start(key) is not None else MOST.get(kind, ANY)


def epoch(number: int) -> str:
    """The signed epoch object."""
    return f"{EPOCH}{number:08d}.json"


def sealed(number: int) -> str:
    """The operator's word that enough vaults hold the epoch."""
    return f"{EPOCH}{number:08d}.sealed"


def anchor(number: int) -> str:
    """The operator's word how many ledger entries came before the epoch."""
    return f"{EPOCH}{number:08d}.ledger"


def filled(number: int) -> str:
    """The operator's word that this vault was given, under the epoch, what was there before it."""
    return f"{EPOCH}{number:08d}.filled"


def epoch_number(key: str) -> int | None:
    """The number in an epoch object's name; None for any other name."""
    found = NUMBERED.fullmatch(key)
    return int(found["number"]) if found else None


def wal(number: int) -> str:
    """Prefix of everything shipped under an epoch."""
    return f"{WAL}{number:08d}/"


def chunk(number: int, start: int) -> str:
    """The WAL chunk that begins at `start`."""
    return f"{wal(number)}{start:016X}"


def chunks_near(number: int, position: int) -> str:
    """Prefix of the chunks that begin in the same 16 MiB of WAL as this position."""
    return near(chunk(number, position)) or wal(number)


def near(key: str) -> str | None:
    """The same of a chunk by its name; None for any other."""
    return None if chunk_start(key) is None else key[: 1 - len(f"{NEAR:X}")]


def opening(number: int) -> str:
    """The opening record: where the parent's chain ends."""
    return f"{wal(number)}opening"


def first(number: int) -> str:
    """The start record: where this epoch's own WAL begins, and its timeline's history."""
    return f"{wal(number)}start"


def life(number: int, count: int) -> str:
    """What a ship puts first each time it starts: a spool that was rolled back finds it taken."""
    return f"{wal(number)}start-{count:08d}"


def chunk_start(key: str) -> int | None:
    """The position in a chunk's name; None for the other objects under an epoch."""
    name = key.rpartition("/")[2]
    return int(name, 16) if POSITION.fullmatch(name) else None


def media(sha256: str) -> str:
    """One encrypted picture."""
    return f"{MEDIA}{sha256}"


def header(picture: str, sha256: str) -> str:
    """The header of a picture that is kept apart: without it the payload with this sha256 opens for nobody."""
    return f"{MEDIA}{picture}.{sha256}.header"


def payload(picture: str, sha256: str) -> str:
    """The payload of a picture that is kept apart."""
    return f"{MEDIA}{picture}.{sha256}.payload"


def parts(picture: str) -> str:
    """Prefix of all that is kept apart of one picture."""
    return f"{MEDIA}{picture}."


def picture(key: str) -> str:
    """Which picture an object below `media/` is, or is a part of."""
    return key.removeprefix(MEDIA).partition(".")[0]


def part(key: str) -> Part | None:
    """What a header's or a payload's name says; None for any other name."""
    found = PART.fullmatch(key)
    return Part(found["picture"], found["payload"], found["kind"] == "header") if found else None


def is_whole(key: str) -> bool:
    """Whether an object is a picture, whole, by its name; what else lies below `media/` somebody else put there."""
    return WHOLE.fullmatch(key) is not None


def ledger(number: int, seq: int) -> str:
    """One encrypted ledger entry, under the epoch that wrote it."""
    return f"{LEDGER}{number:08d}/{seq:08d}"


def label(number: int, start: int, snapshot: str, *, standby: bool = False) -> str:
    """The signed label of a snapshot, and who took it; the last name in order is the newest."""
    return f"{LABEL}{number:08d}/{start:016X}-{snapshot}{BY_STANDBY if standby else SUFFIX}"


def labelled(key: str) -> tuple[str, int] | None:
    """The snapshot that a label's name tells, and where its WAL begins; None for any other name."""
    found = LABELLED.fullmatch(key)
    return (found["snapshot"], int(found["start"], 16)) if found else None


def states(stack: str) -> str:
    """Prefix of all states of one stack."""
    return f"{STATE}{stack}/"


def state(stack: str, at_ms: int) -> str:
    """One state of a stack, under the moment it was exported, in milliseconds."""
    return f"{states(stack)}{at_ms}.json"


def state_at(key: str) -> int | None:
    """The moment in a state's name; None for any other name."""
    found = KEPT.fullmatch(key)
    return int(found["at_ms"]) if found else None


def repository(number: int) -> str:
    """The folder of an epoch's restic repository."""
    return f"restic/{number:08d}"


def standby_repository(number: int) -> str:
    """The folder of the restic repository that an epoch's standbys fill; its site neither opens nor reaches it."""
    return f"{STANDBY}{number:08d}"


def snapshot(folder: str, snapshot_id: str) -> str:
    """What restic calls a snapshot within its repository, as far as the id is known."""
    return f"{folder}/snapshots/{snapshot_id}"


def verifications(vault: str) -> str:
    """Prefix of all proofs of one vault."""
    return f"{VERIFIED}{vault}/"


def verified(vault: str, at_ms: int) -> str:
    """The operator's signed word that a vault gave the database back, under the moment in milliseconds."""
    return f"{verifications(vault)}{at_ms:015d}.json"
