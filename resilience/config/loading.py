"""From a path or a text to a Fleet."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from resilience.config.explain import error_at, shape_error
from resilience.config.meaning import findings
from resilience.config.schema import FleetFile
from resilience.errors import FleetError
from resilience.model import (
    AuthoritySpec,
    Fleet,
    Machine,
    Names,
    Promise,
    RecordSpec,
    Replication,
    Site,
    VaultSpec,
    Vendor,
    ZoneSpec,
)


def load(path: Path) -> Fleet:
    """The fleet declared in `path`; FleetError (exit 2) for anything wrong with it."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin it with a mark
    except FileNotFoundError:
        raise FleetError(
            str(path),
            "there is no such file, and the command needs to know what you declared",
            "Run this where it is, or give it with --fleet FILE; a new one is a copy of one in `examples/` (docs/first-day.md). To practise: `resilience lab up`.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FleetError(
            str(path),
            f"it can't be read: {error}",
            "Make it a text file in UTF-8 that this user may read.",
        ) from error
    return parse(text, str(path))


def parse(text: str, file: str = "fleet.toml") -> Fleet:
    """The fleet in a TOML text; `file` is what errors call it."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FleetError(
            file,
            f"it is not valid TOML: {error}",
            "Mend that place: strings stand in double quotes, tables in [brackets].",
        ) from error
    try:
        declared = FleetFile.model_validate(raw)
    except ValidationError as error:
        raise shape_error(text, file, error) from None
    for loc, why, hint in findings(declared):
        raise error_at(text, file, loc, why, hint)
    return _fleet(declared)


def _fleet(f: FleetFile) -> Fleet:
    return Fleet(
        name=f.fleet.name,
        app=f.fleet.app,
        kit=f.fleet.kit,
        lab=f.fleet.lab,
        operators=tuple(f.fleet.operators),
        vendors=tuple(
            Vendor(
                name=v.name,
                account=v.account,
                parent=v.parent,
                upstreams=tuple(v.upstreams),
                companions=tuple(v.companions),
                addresses=tuple(v.addresses),
            )
            for v in f.vendor
        ),
        sites=tuple(
            Site(
                name=s.name,
                vendor=s.vendor,
                stack=s.stack,
                standby=s.standby,
                addresses=tuple(s.addresses),
                size=s.size,
                least=Machine(**s.machine.model_dump()) if s.machine else None,
                type=s.type or "",
                region=s.region or "",
                zone=s.zone or "",
                image=s.image or "",
                disk=s.disk or "",
                disk_key=s.disk_key,
                network=s.network or "",
                live=s.live,
            )
            for s in f.site
        ),
        vaults=tuple(VaultSpec(**{**v.model_dump(), "stack": v.stack or ""}) for v in f.vault),
        names=Names(
            host=f.names.host,
            ttl_s=f.names.ttl_s,
            zones=tuple(ZoneSpec(**{**z.model_dump(), "nameservers": tuple(z.nameservers)}) for z in f.names.zone),
            registrar=f.names.registrar,
            authorities=tuple(AuthoritySpec(a.name, a.directory) for a in f.names.authority),
            contact=f.names.contact,
            records=tuple(RecordSpec(r.name, r.type, r.ttl_s, tuple(r.values)) for r in f.names.record),
            rdap=f.names.rdap,
        ),
        promise=Promise(**f.promise.model_dump()),
        replication=Replication(**f.replication.model_dump()),
    )
