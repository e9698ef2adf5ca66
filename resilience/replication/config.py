"""The one JSON file each command reads. README.md lists its keys."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resilience.errors import UsageError
from resilience.model import EpochRecord, VaultSpec, payload_only
from resilience.model.rights import beneath
from resilience.ports import Vault
from resilience.replication import epoch as epochs
from resilience.replication import seals
from resilience.replication.appfolders import Misplaced, opened
from resilience.replication.quorum import check_quorums
from resilience.replication.vaults import open_vault, told_vault


class Table(BaseModel):
    """A part of the configuration: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VaultConfig(Table):
    """One vault, with the credentials this command may use."""

    name: str
    vendor: str
    kind: Literal["s3", "gcs", "sftp"]
    endpoint: str
    bucket: str
    region: str = "us-east-1"
    credentials: dict[str, str]
    write_credentials: dict[str, str] | None = None
    """Used by `restore` to put the chain again, where `credentials` may only read."""
    restic_password: str | None = None
    """Of the repositories that sites fill."""
    standby_password: str | None = None
    """Of those that standbys fill: no site that writes has it."""
    price_per_1000_puts: float | None = None
    locked: bool = False
    """Nothing goes from there before what people delete has to be gone: see `Config.apart`."""
    beneath: str = ""
    """Below which prefix a rehearsal's own objects lie; empty outside rehearsals."""
    within: str = ""
    """Below which prefix all of it lies, where this is a mirror that stands for the vault."""

    @property
    def spec(self) -> VaultSpec:
        """The vault as the fleet names it."""
        return VaultSpec(
            self.name,
            self.vendor,
            self.kind,
            self.endpoint,
            self.bucket,
            self.region,
            beneath=self.beneath,
            within=self.within,
        )


class MirrorConfig(Table):
    """What a mirror holds of one vault: where a snapshot may come from that no vault gives whole."""

    name: str
    stands_for: VaultConfig
    """The vault, at the mirror's place."""
    labels: dict[str, str]
    """Its newest labels by name, as the operator read them there."""


class Paths(Table):
    """Where things are on this host."""

    pg: Path
    media: Path
    ledger: Path
    outbox: Path
    held: Path
    spool: Path
    wal: Path
    run: Path
    restic: Path
    settings: tuple[Path, ...] = ()
    """How this host was set up, without a secret in it: kept in each snapshot for whoever wonders later."""


class Postgres(Table):
    """How Postgres is reached, started and stopped."""

    dsn: str
    start: list[str]
    stop: list[str]
    bin: Path
    user: str = "postgres"
    fsync: bool = True
    """As Postgres' own: false only where nothing need outlive a power cut, as in tests."""
    fence: list[list[str]] = []
    """Commands that stop writes for good once this site is superseded; `stop` alone where empty."""
    kill: list[list[str]] = []
    """Commands that end Postgres by force, when it has handed over its last WAL or would not stop."""
    resume: list[list[str]] = []
    """Commands that let it and the app start again, after a lease that only lapsed."""


class MediaQuery(Table):
    """Which pictures the app's rows name."""

    database: str
    sql: str
    """Gives sha256 digests, hex, one a row, in the order in which they are wanted."""
    first: str = ""
    """Gives those that must be on a host before anybody is let in; `sql` where it is empty."""
    newer: str
    """Gives (number, sha256) of rows after a number (first parameter), in order, at most so many (second)."""
    margin: int = 0
    """Rows up to so far below the highest number may still appear: they were written by slower transactions."""


class Record(Table):
    """An epoch record as JSON."""

    number: int
    site: str
    nonce: str
    parent: int
    vaults: tuple[str, ...]
    k: int
    s: int
    sealed_at: float
    signer: str
    signature: str

    def record(self) -> EpochRecord:
        """The record itself."""
        return EpochRecord(**self.model_dump())


class Until(Table):
    """The operator's own end: history goes on from here, whatever was written after."""

    epoch: int
    lsn: str


class Config(Table):
    """Everything a command on a host needs to know."""

    site: str
    fleet: str
    rehearsal: str = ""
    """The rehearsal that this host is for; empty where it is the fleet's."""
    epoch: Record
    parent_epochs: tuple[Record, ...] = ()
    operator_public_key: str
    ledger_public_key: str | None = None
    signing_key_file: Path | None = None
    recipients: tuple[str, ...] = ()
    identity: str | None = None
    vaults: tuple[VaultConfig, ...]
    mirrors: tuple[MirrorConfig, ...] = ()
    sealed: tuple[str, ...] = ()
    k: int | None = None
    s: int | None = None
    spacing_ms: int = Field(default=200, ge=0)
    lease_s: float = Field(default=5.0, gt=0)
    durability: Literal["async", "quorum"] = "async"
    too_few_vaults: Literal["wait", "degrade"] = "wait"
    backlog_mb: int = Field(default=4096, gt=0)
    past_backlog: Literal["drop", "stop"] = "drop"
    standby: bool = False
    """True on a host that follows: the epoch then lets another site write."""
    media_query: MediaQuery | None = None
    named: tuple[str, ...] = ()
    """Pictures that a command is about, where it is not about all that rows name."""
    forced: bool = False
    """The operator lets this host go on under its epoch although too few vaults of the one before are left to seal it, or to read it."""
    accept_end: str | None = None
    """LSN at which the operator accepts that a broken chain ends, by name."""
    until: Until | None = None
    """Where the operator has a restore end, in which epoch's chain, by name."""
    stood_down: str | None = None
    """LSN at which the site before stopped for good, by its own word: a copy that reaches it lacks nothing."""
    witness: dict[str, Any] | None = None
    """What the primary saw and signed: where `verify` goes, and what it looks for there."""
    paths: Paths
    postgres: Postgres

    @model_validator(mode="after")
    def _meaning(self) -> Self:
        wanted = beneath(self.rehearsal)
        if astray := [vault.name for vault in self.vaults if vault.beneath != wanted]:
            msg = f"beneath of {', '.join(astray)} is not {wanted!r}, as the host of {self.rehearsal or 'no'} rehearsal has it"
            raise ValueError(msg)
        record = self.record
        check_quorums(len(record.vaults), record.k, record.s)
        if not self.verify(epochs.payload(record), record.signature):
            msg = f"epoch {record.number} does not carry the operator's signature"
            raise ValueError(msg)
        if record.site != self.site and not self.standby:
            msg = f"epoch {record.number} lets {record.site} write, not {self.site}"
            raise ValueError(msg)
        return self

    @property
    def leased(self) -> bool:
        """Whether commits may be acknowledged that no vault holds, so that only a lease stops this site."""
        return self.durability == "async" or self.too_few_vaults == "degrade"

    @property
    def record(self) -> EpochRecord:
        """The epoch this host works under."""
        return self.epoch.record()

    @property
    def apart(self) -> frozenset[str]:
        """Vaults of the epoch's set that keep of pictures the payload alone."""
        locked = frozenset(vault.name for vault in self.vaults if vault.locked)
        return payload_only(locked, self.record.vaults, self.record.k)

    def under(self, record: EpochRecord) -> Config:
        """The same host's configuration under the epoch that continues this one."""
        parents = (*self.parent_epochs, self.epoch)
        return self.model_copy(update={"epoch": Record(**asdict(record)), "parent_epochs": parents})

    @property
    def before(self) -> Config | None:
        """The same host's configuration under the epoch before, where this one only changes its vault set."""
        for parent in self.parent_epochs:
            if epochs.continues(self.record, parent.record()):
                older = tuple(p for p in self.parent_epochs if p.number < parent.number)
                return self.model_copy(update={"epoch": parent, "parent_epochs": older})
        return None

    @property
    def root(self) -> int:
        """The number under which this host began to write: ledger entries keep it while only the vault set changes."""
        number, signer, site = self.record.number, self.record.signer, self.record.site
        numbers = {parent.number for parent in self.parent_epochs if (parent.signer, parent.site) == (signer, site)}
        while number - 1 in numbers:
            number -= 1
        return number

    def verify(self, payload: bytes, signature: str) -> bool:
        """Whether the operator signed this payload, for the fleet or for the rehearsal that this host is for."""
        check = seals.verifier(self.operator_public_key)
        return seals.check_beneath(check, beneath(self.rehearsal))(payload, signature)

    @property
    def ledger_check(self) -> seals.Verify | None:
        """Whether the app signed an entry, for the fleet or for this rehearsal; None where nobody said by which key."""
        if self.ledger_public_key is None:
            return None
        return seals.check_beneath(seals.verifier(self.ledger_public_key), beneath(self.rehearsal))

    def sign(self) -> seals.Sign:
        """The site's signature for this epoch; UsageError when the key is not the epoch's."""
        if self.signing_key_file is None:
            raise _lacks("signing_key_file")
        key = seals.load_key(self.signing_key_file)
        if seals.public_hex(key) != self.record.signer:
            raise UsageError(
                f"The key in {self.signing_key_file} is not the one that epoch {self.record.number} names.",
                "What it signs would be taken for altered.",
                "Give the host the key that was made for this epoch.",
            )
        return seals.signer(key)

    def key(self) -> str:
        """The age identity that opens copies."""
        if self.identity is None:
            raise _lacks("identity")
        return self.identity

    def open(self, names: tuple[str, ...] | None = None) -> dict[str, Vault]:
        """The vaults by name, opened to read."""
        return {v.name: open_vault(v.spec, v.credentials) for v in self._chosen(names)}

    def labelled(self, vaults: Mapping[str, Vault]) -> dict[str, Vault]:
        """The vaults, and beside them the labels that mirrors hold, each told by the vault it was copied from."""
        told = {f"{m.name} of {m.stands_for.name}": told_vault(m.stands_for.name, m.labels) for m in self.mirrors}
        return {**vaults, **told}

    def open_to_write(self, names: tuple[str, ...] | None = None) -> dict[str, Vault]:
        """The vaults by name, opened with the credentials that may put."""
        return {v.name: open_vault(v.spec, v.write_credentials or v.credentials) for v in self._chosen(names)}

    def _chosen(self, names: tuple[str, ...] | None) -> tuple[VaultConfig, ...]:
        return tuple(v for v in self.vaults if names is None or v.name in names)


def _lacks(key: str) -> UsageError:
    return UsageError(f"The configuration has no {key}.", "This command cannot do without.", f"Add {key}.")


def load(path: str | Path) -> Config:
    """The configuration in a file; UsageError says which key and why."""
    try:
        return Config.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read", str(error), "Give the file with --config FILE.") from error
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise UsageError(f"{path} is no configuration", why, "See replication/README.md, Configuration.") from error


def unfinished(path: Path) -> Path:
    """What `write_atomic` leaves beside a file when it is killed."""
    return path.with_name(f".{path.name}.new")


def write_atomic(path: Path, data: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Replace a file at once: readers see the old one or the new one; after a power cut too, and by then the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = unfinished(path)
    with made_anew(new, mode, owner) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync(path.parent)


def made_anew(path: Path, mode: int = 0o644, owner: tuple[int, int] | None = None) -> BinaryIO:
    """A new file under this name, to be written: whatever had the name is gone, and no link is followed."""
    path.unlink(missing_ok=True)
    file = open(path, "xb", opener=lambda p, f: os.open(p, f, mode))  # noqa: SIM115 - the caller's
    if owner is not None:
        os.fchown(file.fileno(), *owner)
    return file


def ours(folder: Path) -> None:
    """A folder in which nobody but this process' user puts anything, whoever could before; made where it is missing.

    It lies in one that is ours, or root's. Misplaced where it is a link.
    """
    with suppress(FileExistsError):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with opened(folder) as there:
            os.fchown(there, os.geteuid(), -1)
            os.fchmod(there, stat.S_IMODE(os.fstat(there).st_mode) & ~0o022)
    except NotADirectoryError as error:
        raise Misplaced(folder, str(error.strerror), "Postgres' user") from error


def sync(path: Path) -> None:
    """Let what is in a file, or the names in a folder, outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def environment() -> Mapping[str, Any]:
    """The environment for programs that are started: nothing secret is added here."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
