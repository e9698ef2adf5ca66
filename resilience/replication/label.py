"""Labels: what makes a restic snapshot a snapshot of a database.

Signed by the site that took it; where a standby took it, by the operator, since a primary must not be able to say so.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, groupby
from typing import Any

import structlog

from resilience.errors import ResilienceError, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import layout, lsn, seals, signed
from resilience.replication.originals import read_good
from resilience.replication.signed import Number, PositionText, SystemId, Time, Timeline

FORMAT = "resilience-label/1"
NAMED = len(layout.label(1, 0, "")) - len(f"-{layout.SUFFIX}")
"""So much of a label's name tells the snapshot, whichever vault it is in."""
SNAPSHOT = re.compile(r"[0-9a-f]{8,64}")
BRANCH = re.compile(r"^START TIMELINE: ([0-9]{1,9})$", re.MULTILINE)
SEGMENT_SIZES = frozenset(1 << power for power in range(20, 31))
"""What initdb takes: 1 MiB to 1 GiB."""
CONTROL = re.compile(r"[A-Za-z0-9+/]{10923}=")
"""The 8192 bytes of pg_control in base64."""
CLOCKS_S = 3600.0
"""How far a standby may be from the clock of whoever signs its label: a date to come would go before everything."""
FRESH_S = 86400.0
"""So long a standby's snapshot goes before newer ones of a site that may be in a thief's hands."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Label:
    """One snapshot in one vault, and all that Postgres needs beside the files."""

    epoch: Number
    nonce: str
    site: str
    vault: str
    snapshot: str
    repository: str
    path: str
    start_lsn: PositionText
    stop_lsn: PositionText
    timeline: Timeline
    system_id: SystemId
    segment_size: int
    backup_label: str
    pg_control: str
    """base64"""
    at: Time
    versions: Mapping[str, str]

    @property
    def start(self) -> int:
        """Where replay begins."""
        return lsn.parse(self.start_lsn)

    @property
    def needs_from(self) -> int:
        """From where on WAL is needed: a restore takes whole segments, and a standby's copy begins within one."""
        return lsn.segment_start(self.start, self.segment_size)

    @property
    def stop(self) -> int:
        """Where the copy becomes consistent."""
        return lsn.parse(self.stop_lsn)

    @property
    def branch(self) -> int:
        """The timeline on which replay begins, by Postgres' own word: `timeline` was asked a moment earlier."""
        told = BRANCH.search(self.backup_label)
        return int(told[1]) if told else self.timeline

    @property
    def control(self) -> bytes:
        """The bytes of pg_control."""
        return base64.b64decode(self.pg_control)

    @property
    def key(self) -> str:
        """Its name: newer snapshots sort last, by epoch and position, for clocks can be set back."""
        return layout.label(self.epoch, self.start, self.snapshot, standby=self.by_standby)

    @property
    def by_standby(self) -> bool:
        """Whether a standby took it, so that the operator's signature counts and the site's does not."""
        return self.repository == layout.standby_repository(self.epoch)


def encode(label: Label, sign: seals.Sign) -> bytes:
    """The label as its object."""
    return json.dumps(seals.sign_json({"format": FORMAT, **asdict(label)}, sign), indent=1).encode()


def decode(data: bytes, epoch: EpochRecord, operator: seals.Verify) -> Label | None:
    """A label that this epoch's site signed, or the operator for a standby of that epoch; None when altered."""
    site = seals.verified_json(data, seals.verifier(epoch.signer))
    value = site or seals.verified_json(data, operator)
    label = None if value is None or value.get("format") != FORMAT else sound(value)
    if label is None or label.by_standby != (site is None):
        return None
    return label if (label.epoch, label.nonce) == (epoch.number, epoch.nonce) else None


def sound(value: Mapping[str, Any]) -> Label | None:
    """The label, if a snapshot could say this: whoever has a key may sign nonsense, and it must not stop a restore."""
    label = signed.read(value, Label)
    return label if label is not None and _makes_sense(label) else None


def _makes_sense(label: Label) -> bool:
    return (
        SNAPSHOT.fullmatch(label.snapshot) is not None
        and label.repository in {layout.repository(label.epoch), layout.standby_repository(label.epoch)}
        and label.segment_size in SEGMENT_SIZES
        and label.start < label.stop
        and CONTROL.fullmatch(label.pg_control) is not None
        and label.path.startswith("/")
        and label.path.isprintable()
        and ".." not in label.path.split("/")
        and label.backup_label.startswith("START WAL LOCATION: ")
        and all(label.versions.get(name, "").split() for name in ("postgres", "arch"))
    )


Pair = tuple[str, Vault]
"""A label's name, and the vault that lists it."""


def find(
    vaults: Mapping[str, Vault], epochs: Mapping[int, EpochRecord], operator: seals.Verify
) -> Iterator[list[Label]]:
    """Labels that can be believed, the newest snapshot first; those of one snapshot in several vaults together.

    The newest that a standby took in the newest epoch goes before all, as long as it is fresh: a thief at the site
    that writes can sign newer ones, and the files of a standby's are none of his.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        listed = pool.map(_keys, vaults.values())
        pairs = [(key, vault) for vault, keys in zip(vaults.values(), listed, strict=True) for key in keys]
        pairs.sort(key=lambda pair: _rank(pair[0]), reverse=True)
        groups = [list(group) for _, group in groupby(pairs, key=lambda pair: _rank(pair[0]))]

        def read(group: list[Pair]) -> list[list[Label]]:
            found = pool.map(lambda pair: _read(pair[1], pair[0], epochs, operator), group)
            return _one_snapshot([label for label in found if label is not None])

        believed = (labels for group in groups for labels in read(group))
        newest = next(believed, [])
        prefix = f"{layout.LABEL}{newest[0].epoch:08d}/" if newest else None
        theirs = (g for g in groups if prefix and g[0][0].startswith(prefix) and _rank(g[0][0])[1])
        first = next((labels for group in theirs for labels in read(group)), None)
        ahead = [first] if first is not None and time.time() - first[0].at < FRESH_S else []
        yield from ahead
        yield from (labels for labels in chain([newest], believed) if labels and labels not in ahead)


def _rank(key: str) -> tuple[str, bool]:
    """Epoch and position, and whether a standby took it."""
    return key[:NAMED], key.endswith(layout.BY_STANDBY)


def _one_snapshot(labels: list[Label]) -> list[list[Label]]:
    """Those that say the same but for vault and id together: an idle database can be copied twice at one position."""

    def moment(label: Label) -> tuple[int, str, float]:
        return label.stop, label.site, label.at if label.by_standby else 0.0

    ordered = sorted(labels, key=moment, reverse=True)
    return [list(group) for _, group in groupby(ordered, key=moment)]


def _keys(vault: Vault) -> list[str]:
    try:
        return vault.list(layout.LABEL)
    except ResilienceError as error:
        log.warning("labels cannot be listed", vault=vault.name, why=error.why)
        return []


def _read(vault: Vault, key: str, epochs: Mapping[int, EpochRecord], operator: seals.Verify) -> Label | None:
    """The label in an object, when it is what its name and its vault say."""
    number = key[len(layout.LABEL) :].partition("/")[0]
    epoch = epochs.get(int(number)) if number.isdecimal() else None
    if epoch is None:
        return None

    def believed(data: bytes) -> Label | None:
        label = decode(data, epoch, operator)
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


def certify(
    vaults: Mapping[str, Vault],
    epoch: EpochRecord,
    standby: str,
    told: Sequence[Mapping[str, Any]],
    sign: seals.Sign,
) -> dict[str, str]:
    """Sign, as the operator, what a standby told of its snapshots, and put it; the snapshot's id by vault.

    VaultError where it told what no standby of this epoch could.
    """
    taken = [label for said in told if (label := sound(said)) is not None and _may_say(label, epoch, standby)]
    if len(taken) != len(told):
        raise VaultError(
            f"{standby} tells what no snapshot of a standby in epoch {epoch.number} could say.",
            " ".join(str([_shown(said) for said in told])[:1000].split()),
            "Nothing was labelled. Look at that host before anything of it is trusted.",
        )
    labelled, errors = dict[str, str](), list[ResilienceError]()
    for label in taken:
        try:
            vaults[label.vault].put_new(label.key, encode(label, sign))
            labelled[label.vault] = label.snapshot
        except ResilienceError as error:
            log.warning("a snapshot cannot be labelled", vault=label.vault, what=error.what, why=error.why)
            errors.append(error)
    if errors and not labelled:
        raise errors[0]
    return labelled


def _shown(said: object) -> object:
    return {k: v for k, v in said.items() if k != "pg_control"} if isinstance(said, Mapping) else said


def _may_say(label: Label, epoch: EpochRecord, standby: str) -> bool:
    ours = (label.epoch, label.nonce, label.site) == (epoch.number, epoch.nonce, standby)
    timely = abs(time.time() - label.at) < CLOCKS_S
    return ours and timely and label.by_standby and label.vault in epoch.vaults


def describe(label: Label) -> dict[str, Any]:
    """What a person wants to know of a snapshot."""
    return {"snapshot": label.snapshot, "vault": label.vault, "epoch": label.epoch, "start_lsn": label.start_lsn}
