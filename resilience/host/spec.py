"""HostSpec: users, folders, files and units of a site's host, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class File:
    """A file and what must be in it."""

    path: str
    content: str
    owner: str = "root"
    group: str = "root"
    mode: str = "644"


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What a host must look like, besides its supplies."""

    users: str
    """sysusers.d(5): users and groups, with the same numbers on every host."""
    folders: str
    """tmpfiles.d(5): folders with their owners and modes."""
    files: tuple[File, ...]
    masked: tuple[str, ...] = ()
    """Debian's units that must never run here."""
    removal: str = "true"
    """A line of shell: removes what earlier versions left, which would go before these files."""

    def without(self, others: Iterable[File]) -> HostSpec:
        """The same, but for files in whose place others are put."""
        paths = {file.path for file in others}
        return replace(self, files=tuple(f for f in self.files if f.path not in paths))

    @property
    def digest(self) -> str:
        """Names exactly this spec."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; they may hold secrets, so they go through pipes only."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """From what `to_json` made."""
        return cls(
            users=data["users"],
            folders=data["folders"],
            files=tuple(File(**file) for file in data["files"]),
            masked=tuple(data["masked"]),
            removal=data["removal"],
        )


MASKS = "/etc/systemd/system"
"""Where `systemctl mask` puts its links."""
UNITS = (
    "resilience-postgres.service",
    "resilience-ship.service",
    "resilience-lease.service",
    "resilience-follow.service",
    "plaza.service",
)
REMOVAL = "; ".join(
    (
        *(f"[ -L {MASKS}/{unit} ] || rm -f {MASKS}/{unit}" for unit in UNITS),  # a link is a mask, and stays
        "rm -f /run/systemd/system/resilience-postgres.service",  # a mask that had no effect; now it would
    )
)
PLACES = {
    **{unit: f"/usr/local/lib/systemd/system/{unit}" for unit in UNITS},  # behind a mask, which else does nothing
    "caddy.conf": "/etc/systemd/system/caddy.service.d/resilience.conf",
    "Caddyfile": "/etc/resilience/Caddyfile",
    "site.caddy": "/etc/resilience/site.caddy",
    "admission.caddy": "/etc/resilience/admission.caddy",
    "postgresql.conf": "/etc/resilience/postgresql.conf",
    "pg_hba.conf": "/etc/resilience/pg_hba.conf",
    "pg_ident.conf": "/etc/resilience/pg_ident.conf",
    "createcluster.conf": "/etc/postgresql-common/createcluster.conf",
}
"""Where each of our files goes on a host."""


def site_host() -> HostSpec:
    """A host of a site that runs plaza, Postgres and ship; keys and settings are added per site."""
    ours = files("resilience.host") / "files"
    return HostSpec(
        users=(ours / "sysusers.conf").read_text(),
        folders=(ours / "tmpfiles.conf").read_text(),
        files=tuple(File(path, (ours / name).read_text()) for name, path in PLACES.items()),
        masked=("postgresql.service",),
        removal=REMOVAL,
    )
