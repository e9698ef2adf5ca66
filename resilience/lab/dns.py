"""Names: a PowerDNS at each DNS vendor, and the users' resolver that caches the declared TTL."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from resilience.errors import ResilienceError
from resilience.lab import network, places, processes
from resilience.lab.places import Place
from resilience.lab.processes import Home

START_WAIT_S = 120.0
RESOLVER_PROCESS = "resolver"
NS_TTL_S = 3600
Record = tuple[str, str, str, int]
Zone = tuple[str, list[Record]]
"""A zone's name, and its records: name, type, content, TTL."""
_SOA = "{server} hostmaster.{zone} 1 3600 600 86400 5"
"""The last number is how long a resolver believes that a name is not there: short, as for a name that moves."""
_UNBOUND = """
server:
  directory: "{place}"
  chroot: ""
  username: ""
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  logfile: ""
  num-threads: 1
  interface: {address}
  access-control: {network} allow
  do-ip6: no
  module-config: "iterator"
  local-zone: "test." nodefault
  infra-cache-max-rtt: 1000
  infra-keep-probing: yes
  serve-expired: no
remote-control:
  control-enable: no
stub-zone:
  name: "{zone}"
  stub-addr: {registry}
"""


def process_name(vendor: Place) -> str:
    """What this vendor's name server runs as."""
    return f"dns-{vendor.name}"


def environment(tools: Path) -> dict[str, str]:
    """The tools are unpacked packages: their libraries are beside them."""
    folders = sorted({str(path.parent) for path in (tools / "usr/lib").glob("*-linux-*/*.so*")})
    return {"LD_LIBRARY_PATH": ":".join(folders)}


def start_server(directory: Path, vendor: Place, tools: Path, home: Home) -> None:
    """Start a vendor's name server, with the zone already there where the name is served from it."""
    key = (directory / "kit" / "dns" / f"{vendor.name}.txt").read_text().strip()
    _start(directory, vendor, tools, home, key, _zone(vendor))


def start_registry(directory: Path, tools: Path, home: Home) -> None:
    """Start the parent zone's name server: it leads to the vendors that the name is served from."""
    _start(directory, places.REGISTRY, tools, home, registry_key(directory), _parent_zone())


def registry_key(directory: Path) -> str:
    """What a person logs in with at the registrar; made when absent, and no part of the operator's kit."""
    path = directory / "registry.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16))
    return path.read_text()


def _start(directory: Path, vendor: Place, tools: Path, home: Home, key: str, zone: Zone | None) -> None:
    place = directory / "vendors" / vendor.name / "dns"
    place.mkdir(parents=True, exist_ok=True)
    _database(place / "zones.sqlite3", tools, zone)
    modules = next((tools / "usr/lib").glob("*-linux-*/pdns"))
    settings = {
        "launch": "gsqlite3",
        "gsqlite3-database": "zones.sqlite3",
        "module-dir": str(modules),
        "socket-dir": "/tmp",  # noqa: S108 - its own
        "local-address": vendor.dns_address,
        "local-port": "53",
        "webserver": "yes",
        "webserver-address": vendor.dns_address,
        "webserver-port": str(places.DNS_API_PORT),
        "webserver-allow-from": places.NETWORK,
        "api": "yes",
        "api-key": key,
        "cache-ttl": "0",
        "query-cache-ttl": "0",
        "negquery-cache-ttl": "0",
        "zone-cache-refresh-interval": "0",
        "receiver-threads": "1",
        "distributor-threads": "1",
        "version-string": "anonymous",
        "security-poll-suffix": "",
        "daemon": "no",
        "guardian": "no",
    }
    conf = place / "pdns.conf"
    conf.touch(mode=0o600)
    conf.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    argv = processes.with_own_tmp(place, [str(tools / "usr/sbin/pdns_server"), "--config-dir=."])
    processes.start(directory, process_name(vendor), argv, home=home, space=vendor.space, env=environment(tools))


def _database(path: Path, tools: Path, zone: Zone | None) -> None:
    """PowerDNS's own schema, with this zone in it; made once."""
    if path.exists():
        return
    schema = next(tools.glob("usr/share/**/schema.sqlite3.sql"))
    with sqlite3.connect(path) as database:
        database.executescript(schema.read_text())
        if zone is not None:
            name, records = zone
            database.execute("insert into domains (id, name, type) values (1, ?, 'NATIVE')", (name,))
            database.executemany(
                "insert into records (domain_id, name, type, content, ttl) values (1, ?, ?, ?, ?)", records
            )
    database.close()


def _zone(vendor: Place) -> Zone | None:
    """SOA and NS alone, for vendors that serve the name; a spare zone names its own server."""
    if vendor.name not in (*places.NAME_VENDORS, places.SPARE_NAME_VENDOR):
        return None
    served = [vendor.name] if vendor.name == places.SPARE_NAME_VENDOR else places.NAME_VENDORS
    servers = [places.nameserver(places.place(name)) for name in served]
    soa = _SOA.format(server=places.nameserver(vendor), zone=f"{vendor.name}.{places.PARENT}")
    return places.NAME, [
        (places.NAME, "SOA", soa, 3600),
        *((places.NAME, "NS", server, NS_TTL_S) for server in servers),
    ]


def _parent_zone() -> Zone:
    """The parent: where its own server and every vendor's is, and which of them the name is delegated to."""
    known = [places.REGISTRY, *(vendor for vendor in places.VENDORS if vendor.dns)]
    soa = _SOA.format(server=places.nameserver(places.REGISTRY), zone=places.PARENT)
    return places.PARENT, [
        (places.PARENT, "SOA", soa, 3600),
        (places.PARENT, "NS", places.nameserver(places.REGISTRY), 3600),
        *((places.nameserver(vendor), "A", vendor.dns_address, 3600) for vendor in known),
        *(
            (places.NAME, "NS", places.nameserver(places.place(name)), places.NAME_TTL_S)
            for name in places.NAME_VENDORS
        ),
    ]


def delegate(directory: Path, servers: Sequence[str]) -> None:
    """Change the delegation as at a registrar's: by its HTTP interface, with the person's own key."""
    import httpx

    record = {
        "name": f"{places.NAME}.",
        "type": "NS",
        "ttl": places.NAME_TTL_S,
        "changetype": "REPLACE",
        "records": [{"content": f"{server}.", "disabled": False} for server in servers],
    }
    root = f"http://{places.REGISTRY.dns_address}:{places.DNS_API_PORT}/api/v1/servers/localhost/zones/{places.PARENT}."
    headers = {"X-API-Key": registry_key(directory)}
    httpx.patch(root, json={"rrsets": [record]}, headers=headers, timeout=60.0).raise_for_status()


def start_resolver(directory: Path, tools: Path, home: Home) -> None:
    """Start the users' resolver: it goes where the parent zone leads, caches as long as it is told, and asks who is left."""
    place = directory / "resolver"
    place.mkdir(parents=True, exist_ok=True)
    about = {"zone": places.PARENT, "registry": places.REGISTRY.dns_address}
    conf = _UNBOUND.format(place=place, address=places.RESOLVER, network=places.NETWORK, **about)
    (place / "unbound.conf").write_text(conf)
    argv = [str(tools / "usr/sbin/unbound"), "-d", "-c", str(place / "unbound.conf")]
    processes.start(directory, RESOLVER_PROCESS, argv, home=home, space=places.RESOLVER_SPACE, env=environment(tools))


def wait_ready(directory: Path) -> None:
    """Return when all name servers and the resolver listen."""
    for vendor in (places.REGISTRY, *(vendor for vendor in places.VENDORS if vendor.dns)):
        wait_for(directory, vendor)
    _wait_for(directory, places.RESOLVER_SPACE, places.RESOLVER, 53)


def wait_for(directory: Path, vendor: Place) -> None:
    """Return when this vendor's name server and its HTTP interface listen."""
    for port in (places.DNS_API_PORT, 53):
        _wait_for(directory, vendor.space, vendor.dns_address, port)


def _wait_for(directory: Path, space: str, address: str, port: int) -> None:
    if not network.wait_for_port(space, address, port, START_WAIT_S):
        raise ResilienceError(
            f"The name server at {address} did not start",
            f"Nothing listens after {START_WAIT_S:.0f} s; its log is in {directory}/log.",
            "Read the log; then resilience lab down, and try again.",
        )
