"""The shape of `fleet.toml`: tables, keys and their types, as pydantic checks them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Own = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
"""A vendor's own word: a region, a zone, a kind of host."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


class Table(BaseModel):
    """One table: every key is known, and of its own type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FleetTable(Table):
    """What the whole fleet is called, and runs."""

    name: Name
    app: str
    kit: str = "kit"
    lab: bool = False
    operators: list[str] = []


class PromiseTable(Table):
    """What the users were promised."""

    rto_s: Seconds
    rpo_s: Annotated[float, Field(ge=0)]
    human_decide_s: Annotated[float, Field(ge=0)] = 300.0
    drill_every_days: Annotated[float, Field(gt=0)] = 7.0
    verify_every_days: Annotated[float, Field(gt=0)] = 7.0


class ZoneTable(Table):
    """The name's zone at one DNS vendor."""

    vendor: str
    kind: Literal["powerdns", "rfc2136", "route53", "cloudflare", "hetzner", "google"]
    endpoint: str = ""
    zone: str = ""
    nameservers: list[str] = []
    spare: bool = False


class RecordTable(Table):
    """Records of one name and kind."""

    name: Annotated[str, Field(pattern=r"^(@|[a-z0-9_*][a-z0-9_.-]*)$")]
    type: Literal["A", "AAAA", "CAA", "CNAME", "MX", "SOA", "SRV", "TXT", "TLSA"]
    ttl_s: Annotated[int, Field(ge=1, le=604_800)] = 3600
    values: Annotated[list[str], Field(min_length=1)]


class AuthorityTable(Table):
    """A certificate authority that speaks ACME."""

    name: Name
    directory: Annotated[str, Field(pattern=r"^https://[^/\s{}]+[^\s{}]*$")]


class NamesTable(Table):
    """The public name."""

    host: str
    ttl_s: Annotated[int, Field(ge=1, le=86400)] = 30
    registrar: str = ""
    contact: Annotated[str, Field(pattern=r"^([^@\s{}]+@[^@\s{}]+)?$")] = ""
    zone: list[ZoneTable]
    authority: list[AuthorityTable] = []
    record: list[RecordTable] = []
    rdap: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""


class ReplicationTable(Table):
    """How copies are kept."""

    k: Annotated[int, Field(ge=1)]
    s: Annotated[int, Field(ge=1)]
    durability: Literal["async", "quorum"] = "async"
    spacing_ms: Annotated[int, Field(ge=10, le=60000)] = 200
    snapshot_minutes: Annotated[float, Field(gt=0)] = 60.0
    keep_days: Annotated[float, Field(gt=0, le=36_500)] = 30.0
    erase_after_days: Annotated[float, Field(ge=0, le=36_500)] = 7.0
    lease_s: Seconds = 5.0
    drift_s: Annotated[float, Field(ge=0)] = 1.0
    too_few_vaults: Literal["wait", "degrade"] = "wait"
    backlog_mb: Annotated[int, Field(ge=16, le=1_048_576)] = 4096
    past_backlog: Literal["drop", "stop"] = "drop"


class VendorTable(Table):
    """A company that can end an account."""

    name: Name
    account: str | None = None
    parent: str | None = None
    upstreams: list[str] = []
    companions: list[str] = []
    addresses: list[str] = []


class MachineTable(Table):
    """What a host has at least."""

    cpu: Annotated[int, Field(ge=1, le=256)]
    memory_gb: Annotated[int, Field(ge=1, le=4096)]
    disk_gb: Annotated[int, Field(ge=10, le=65536)]


class SiteTable(Table):
    """One place the app can live."""

    name: Name
    vendor: str
    stack: str
    standby: Literal["hot", "cold"] = "cold"
    addresses: list[str] = []
    size: Literal["small", "medium", "large"] = "small"
    machine: MachineTable | None = None
    type: Own | None = None
    region: Own | None = None
    zone: Own | None = None
    image: Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,120}$")] | None = None
    disk: Own | None = None
    disk_key: bool = False
    network: str | None = None
    live: date | None = None


class VaultTable(Table):
    """An object store that holds copies."""

    name: Name
    vendor: str
    kind: Literal["s3", "gcs", "sftp"]
    endpoint: str
    bucket: str
    region: str = "us-east-1"
    stack: Literal["aws", "gcp", "s3"] | None = None
    copies_only: bool = False
    lock_days: Annotated[int, Field(ge=0, le=3650)] = 0
    boundary: Annotated[str, Field(pattern=r"^(arn:aws[a-z-]*:iam::\d{12}:policy/[\w+=,.@/-]+)?$")] = ""
    price_per_1000_puts: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class FleetFile(Table):
    """The whole file."""

    fleet: FleetTable
    promise: PromiseTable
    names: NamesTable
    replication: ReplicationTable
    vendor: Annotated[list[VendorTable], Field(min_length=1)]
    site: Annotated[list[SiteTable], Field(min_length=1)]
    vault: Annotated[list[VaultTable], Field(min_length=1)]
