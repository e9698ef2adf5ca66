"""Labels: what makes a restic snapshot a snapshot of a database. Signed by the site that took it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import structlog

from resilience.errors import ResilienceError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import layout, lsn, seals
from resilience.replication.originals import read_good

FORMAT = "resilience-label/1"
NAMED = len(layout.label(1, 0, "")) - len("-.json")
"""So much of a label's name tells the snapshot, whichever vault it is in."""
SNAPSHOT = re.compile(r"[0-9a-f]{8,64}")
SEGMENT_SIZES = frozenset(1 << power for power in range(20, 31))
"""What initdb takes: 1 MiB to 1 GiB."""
CONTROL_SIZE = 8192
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Label:
    """One snapshot in one vault, and all that Postgres needs beside the files."""

    epoch: int
    nonce: str
    site: str
    vault: str
    snapshot: str
    repository: str
    path: str
    start_lsn: str
    stop_lsn: str
    timeline: int
    system_id: str
    segment_size: int
    backup_label: str
    pg_control: str
    """base64"""
    at: float
    versions: Mapping[str, str]

    @property
    def start(self) -> int:
        """Where replay begins."""
        return lsn.parse(self.start_lsn)

    @property
    def stop(self) -> int:
        """Where the copy becomes consistent."""
        return lsn.parse(self.stop_lsn)

    @property
    def control(self) -> bytes:
        """The bytes of pg_control."""
        return base64.b64decode(self.pg_control)

    @property
    def key(self) -> str:
        """Its name: newer snapshots sort last, by epoch and position, for clocks can be set back."""
        return layout.label(self.epoch, self.start, self.snapshot)


def encode(label: Label, sign: seals.Sign) -> bytes:
    """The label as its object."""
    return json.dumps(seals.sign_json({"format": FORMAT, **asdict(label)}, sign), indent=1).encode()


def decode(data: bytes, epoch: EpochRecord) -> Label | None:
    """A label that this epoch's site signed; None when altered."""
    value = seals.verified_json(data, seals.verifier(epoch.signer))
    if value is None or value.pop("format", None) != FORMAT:
        return None
    del value["signature"]
    try:
        label = Label(**value)
        sound = _sound(label)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    return label if sound and (label.epoch, label.nonce) == (epoch.number, epoch.nonce) else None


def _sound(label: Label) -> bool:
    """Whether a snapshot could say this: whoever has the site's key may sign nonsense, and it must not stop a restore."""
    return (
        SNAPSHOT.fullmatch(label.snapshot) is not None
        and label.repository == layout.repository(label.epoch)
        and label.segment_size in SEGMENT_SIZES
        and label.start < label.stop
        and label.timeline > 0
        and label.system_id.isdecimal()
        and len(label.control) == CONTROL_SIZE
        and label.path.startswith("/")
        and ".." not in label.path.split("/")
        and label.backup_label.startswith("START WAL LOCATION: ")
        and label.at >= 0
        and all(label.versions[name].split() for name in ("postgres", "arch"))
    )


def find(vaults: Mapping[str, Vault], epochs: Mapping[int, EpochRecord]) -> Iterator[list[Label]]:
    """Labels that can be believed, the newest snapshot first; those of one snapshot in several vaults together."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        listed = pool.map(_keys, vaults.values())
        pairs = [(key, vault) for vault, keys in zip(vaults.values(), listed, strict=True) for key in keys]
        pairs.sort(key=lambda pair: pair[0][:NAMED], reverse=True)
        for _, group in groupby(pairs, key=lambda pair: pair[0][:NAMED]):
            read = pool.map(lambda pair: _read(pair[1], pair[0], epochs), group)
            if labels := [label for label in read if label is not None]:
                yield labels


def _keys(vault: Vault) -> list[str]:
    try:
        return vault.list(layout.LABEL)
    except ResilienceError as error:
        log.warning("labels cannot be listed", vault=vault.name, why=error.why)
        return []


def _read(vault: Vault, key: str, epochs: Mapping[int, EpochRecord]) -> Label | None:
    """The label in an object, when it is what its name and its vault say."""
    number = key[len(layout.LABEL) :].partition("/")[0]
    epoch = epochs.get(int(number)) if number.isdecimal() else None
    if epoch is None:
        return None

    def believed(data: bytes) -> Label | None:
        label = decode(data, epoch)
        return label if label is not None and label.vault == vault.name and key == label.key else None

    try:
        found = read_good(vault, key, believed)
    except ResilienceError as error:
        log.warning("a label cannot be read", vault=vault.name, key=key, why=error.why)
        return None
    if not isinstance(found, tuple):
        log.warning("a label is not believed", vault=vault.name, key=key)
        return None
    return found[1]


def describe(label: Label) -> dict[str, Any]:
    """What a person wants to know of a snapshot."""
    return {"snapshot": label.snapshot, "vault": label.vault, "epoch": label.epoch, "start_lsn": label.start_lsn}
