"""`fleet.toml` -> Fleet. Every error names the file, the line, the key, why, and what to write.

Shape is checked by pydantic (types, unknown and missing keys), meaning by `_meaning`:
names that point nowhere, vaults at the primary's vendor, quorums that do not intersect.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resilience.errors import FleetError
from resilience.model import (
    Fleet,
    Names,
    Promise,
    Replication,
    Site,
    VaultSpec,
    Vendor,
    ZoneSpec,
)

APPS = ("plaza",)
STACKS = ("lab", "baremetal")
Loc = tuple[int | str, ...]
Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
HOST = re.compile(r"^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Fleet(_Table):
    name: Name
    app: str
    kit: str = "kit"
    lab: bool = False


class _Promise(_Table):
    rto_s: Seconds
    rpo_s: Annotated[float, Field(ge=0)]
    human_decide_s: Annotated[float, Field(ge=0)] = 300.0


class _Zone(_Table):
    vendor: str
    kind: Literal["powerdns"]
    endpoint: str


class _Names(_Table):
    host: str
    ttl_s: Annotated[int, Field(ge=1, le=86400)] = 30
    zone: list[_Zone]


class _Replication(_Table):
    k: Annotated[int, Field(ge=1)]
    s: Annotated[int, Field(ge=1)]
    durability: Literal["async", "quorum"] = "async"
    spacing_ms: Annotated[int, Field(ge=10, le=60000)] = 200
    lease_s: Seconds = 5.0
    drift_s: Annotated[float, Field(ge=0)] = 1.0


class _Vendor(_Table):
    name: Name
    account: str | None = None
    parent: str | None = None
    upstreams: list[str] = []
    companions: list[str] = []
    addresses: list[str] = []


class _Site(_Table):
    name: Name
    vendor: str
    stack: str
    standby: Literal["hot", "cold"] = "cold"
    addresses: list[str] = []
    size: str = "small"


class _Vault(_Table):
    name: Name
    vendor: str
    kind: Literal["s3", "gcs"]
    endpoint: str
    bucket: str
    region: str = "us-east-1"


class _File(_Table):
    fleet: _Fleet
    promise: _Promise
    names: _Names
    replication: _Replication
    vendor: Annotated[list[_Vendor], Field(min_length=1)]
    site: Annotated[list[_Site], Field(min_length=1)]
    vault: Annotated[list[_Vault], Field(min_length=1)]


def load(path: Path) -> Fleet:
    """The fleet declared in `path`; FleetError (exit 2) for anything wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FleetError(
            str(path),
            "there is no such file, and the command needs to know what you declared",
            "Give it with --fleet FILE, or make a lab with `resilience lab up`.",
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
        declared = _File.model_validate(raw)
    except ValidationError as error:
        raise _shape_error(text, file, error) from None
    for loc, why, hint in _meaning(declared):
        raise _error(text, file, loc, why, hint)
    return _fleet(declared)


def _shape_error(text: str, file: str, error: ValidationError) -> FleetError:
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # explains missing
    loc: Loc = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        fields = _fields_at(loc[:-1])
        close = difflib.get_close_matches(str(loc[-1]), fields, n=1)
        hint = f'Did you mean "{close[0]}"?' if close else f"Known here: {', '.join(fields)}."
        return _error(text, file, loc, "there is no such key", hint)
    if first["type"] == "missing":
        return _error(text, file, loc, "this key is missing", f'Add "{loc[-1]} = …" there.')
    given = f", given was {first['input']!r}" if not isinstance(first["input"], dict) else ""
    why = f"{first['msg'][0].lower()}{first['msg'][1:]}{given}"
    return _error(text, file, loc, why, "Write a value of that kind.")


def _fields_at(loc: Loc) -> list[str]:
    model: Any = _File
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = annotation.__args__[0] if hasattr(annotation, "__args__") else annotation
    return list(model.model_fields)


def _error(text: str, file: str, loc: Loc, why: str, hint: str) -> FleetError:
    line = line_of(text, loc)
    key = ".".join(f"[{part}]" if isinstance(part, int) else str(part) for part in loc)
    where = f"{file}:{line}" if line else file
    return FleetError(f"{where}: {key.replace('.[', '[')}", why, hint)


def line_of(text: str, loc: Loc) -> int | None:
    """The line (from 1) where this key stands, else where its table starts, else None."""
    best: int | None = None
    for number, path in _lines(text):
        if loc[: len(path)] == path:
            best = number
            if path == loc:
                return number
    return best


def _lines(text: str) -> Iterator[tuple[int, Loc]]:
    """Each table header and key of a TOML text with its path; enough for our own format."""
    table: Loc = ()
    counts: Counter[Loc] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            path: Loc = tuple(part.strip().strip('"') for part in header[2].split("."))
            if header[1] == "[[":
                table = (*path, counts[path])
                counts[path] += 1
            else:
                table = path
            yield number, table
        elif key := re.match(r'\s*"?([\w-]+)"?\s*=', line):
            yield number, (*table, key[1])


Finding = tuple[Loc, str, str]


def _meaning(f: _File) -> Iterator[Finding]:
    yield from _duplicates(f)
    yield from _references(f)
    yield from _buckets(f)
    yield from _quorums(f)
    yield from _names(f)
    if f.fleet.app not in APPS:
        yield ("fleet", "app"), f'no app is called "{f.fleet.app}"', f"Known: {', '.join(APPS)}."


def _duplicates(f: _File) -> Iterator[Finding]:
    groups: dict[str, Sequence[_Vendor | _Site | _Vault]] = {
        "vendor": f.vendor,
        "site": f.site,
        "vault": f.vault,
    }
    for table, things in groups.items():
        seen: set[str] = set()
        for i, thing in enumerate(things):
            if thing.name in seen:
                why = f'"{thing.name}" names two {table}s'
                yield (table, i, "name"), why, "Names are unique within a table: rename one."
            seen.add(thing.name)


def _references(f: _File) -> Iterator[Finding]:
    vendors = [v.name for v in f.vendor]

    def check(loc: Loc, vendor: str) -> Iterator[Finding]:
        if vendor not in vendors:
            close = difflib.get_close_matches(vendor, vendors, n=1)
            hint = f'Did you mean "{close[0]}"?' if close else f"Declared: {', '.join(vendors)}."
            yield loc, f'no vendor is called "{vendor}"', hint

    for i, site in enumerate(f.site):
        yield from check(("site", i, "vendor"), site.vendor)
        if site.stack not in STACKS:
            hint = f"Known: {', '.join(STACKS)}."
            yield ("site", i, "stack"), f'no stack is called "{site.stack}"', hint
        if site.stack == "baremetal" and not site.addresses:
            hint = 'Add addresses = ["…"]: hosts that are simply there.'
            yield ("site", i), "a bare-metal site has no addresses", hint
        yield from _addresses(("site", i, "addresses"), site.addresses)
    for i, vault in enumerate(f.vault):
        yield from check(("vault", i, "vendor"), vault.vendor)
        yield from _url(("vault", i, "endpoint"), vault.endpoint)
    for i, zone in enumerate(f.names.zone):
        yield from check(("names", "zone", i, "vendor"), zone.vendor)
        yield from _url(("names", "zone", i, "endpoint"), zone.endpoint)
    for i, vendor in enumerate(f.vendor):
        for companion in vendor.companions:
            yield from check(("vendor", i, "companions"), companion)
        yield from _addresses(("vendor", i, "addresses"), vendor.addresses)


def _buckets(f: _File) -> Iterator[Finding]:
    places = [(vault.endpoint.rstrip("/"), vault.bucket) for vault in f.vault]
    for i, place in enumerate(places):
        if place in places[:i]:
            why = f"this is the same bucket as vault {f.vault[places.index(place)].name}: one copy would count twice"
            yield ("vault", i, "bucket"), why, "Every vault is a bucket of its own, at a vendor of its own."


def _addresses(loc: Loc, given: list[str]) -> Iterator[Finding]:
    for address in given:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            yield loc, f'"{address}" is not an address or network', "Write it like 192.0.2.10."


def _url(loc: Loc, url: str) -> Iterator[Finding]:
    if not re.match(r"https?://[^/\s]+", url):
        yield loc, f'"{url}" is not a URL', "Write it like https://storage.example.net."


def _quorums(f: _File) -> Iterator[Finding]:
    home, n = f.site[0].vendor, len(f.vault)
    for i, vault in enumerate(f.vault):
        if vault.vendor == home:
            why = f'this vault is at "{home}", the primary\'s vendor: both would be lost together'
            yield ("vault", i, "vendor"), why, "Keep vaults at vendors other than the first site's."
    k, s = f.replication.k, f.replication.s
    for key, value in (("k", k), ("s", s)):
        if value > n:
            why = f"{key} = {value} of only {n} vaults"
            yield ("replication", key), why, f"Write at most {n}, or declare more vaults."
    if k + s <= n:
        why = f"k + s = {k + s} must be more than n = {n}: an epoch could miss confirmed WAL"
        yield ("replication", "s"), why, f"With k = {k}, write s = {n - k + 1} or more."
    if 2 * s <= n:
        why = f"s = {s} must be more than half of n = {n}: two epochs could be sealed at once"
        yield ("replication", "s"), why, f"Write s = {n // 2 + 1} or more."


def _names(f: _File) -> Iterator[Finding]:
    if not HOST.match(f.names.host):
        hint = "Write a host name such as plaza.example."
        yield ("names", "host"), f'"{f.names.host}" is not a host name', hint
    if not f.names.zone:
        hint = "Declare [[names.zone]] at two vendors or more."
        yield ("names", "zone"), "the name is served nowhere", hint
    seen = Counter(zone.vendor for zone in f.names.zone)
    for i, zone in enumerate(f.names.zone):
        if seen[zone.vendor] > 1:
            hint = "Two zones at one vendor are lost together: name another vendor."
            yield ("names", "zone", i, "vendor"), f'"{zone.vendor}" has two zones', hint
            return


def _fleet(f: _File) -> Fleet:
    return Fleet(
        name=f.fleet.name,
        app=f.fleet.app,
        kit=f.fleet.kit,
        lab=f.fleet.lab,
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
            )
            for s in f.site
        ),
        vaults=tuple(VaultSpec(**v.model_dump()) for v in f.vault),
        names=Names(
            host=f.names.host,
            ttl_s=f.names.ttl_s,
            zones=tuple(ZoneSpec(**z.model_dump()) for z in f.names.zone),
        ),
        promise=Promise(**f.promise.model_dump()),
        replication=Replication(**f.replication.model_dump()),
    )
