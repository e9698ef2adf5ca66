"""Names: a PowerDNS at each DNS vendor, and the users' resolver that caches the declared TTL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from resilience.errors import ResilienceError
from resilience.lab import network, places, processes
from resilience.lab.places import Place
from resilience.lab.processes import Home

START_WAIT_S = 15.0
RESOLVER_PROCESS = "resolver"
_SOA = "ns1.{vendor}.test hostmaster.{vendor}.test 1 3600 600 86400 5"
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
{stubs}
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
    place = directory / "vendors" / vendor.name / "dns"
    place.mkdir(parents=True, exist_ok=True)
    _database(place / "zones.sqlite3", tools, vendor)
    modules = next((tools / "usr/lib").glob("*-linux-*/pdns"))
    key = (directory / "kit" / "dns" / f"{vendor.name}.txt").read_text().strip()
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


def _database(path: Path, tools: Path, vendor: Place) -> None:
    """PowerDNS's own schema, and for vendors that serve the name a zone with SOA and NS alone; made once."""
    if path.exists():
        return
    schema = next(tools.glob("usr/share/**/schema.sqlite3.sql"))
    with sqlite3.connect(path) as database:
        database.executescript(schema.read_text())
        if vendor.name in places.NAME_VENDORS:
            database.execute("insert into domains (id, name, type) values (1, ?, 'NATIVE')", (places.NAME,))
            records = [("SOA", _SOA.format(vendor=vendor.name))]
            records += [("NS", f"ns1.{name}.test") for name in places.NAME_VENDORS]
            database.executemany(
                "insert into records (domain_id, name, type, content, ttl) values (1, ?, ?, ?, 3600)",
                [(places.NAME, kind, content) for kind, content in records],
            )
    database.close()


def start_resolver(directory: Path, tools: Path, home: Home) -> None:
    """Start the users' resolver: it caches as long as the zone says, and asks another vendor when one is dead."""
    place = directory / "resolver"
    place.mkdir(parents=True, exist_ok=True)
    stubs = "\n".join(f"  stub-addr: {places.place(name).dns_address}" for name in places.NAME_VENDORS)
    conf = _UNBOUND.format(place=place, address=places.RESOLVER, network=places.NETWORK, zone=places.NAME, stubs=stubs)
    (place / "unbound.conf").write_text(conf)
    argv = [str(tools / "usr/sbin/unbound"), "-d", "-c", str(place / "unbound.conf")]
    processes.start(directory, RESOLVER_PROCESS, argv, home=home, space=places.RESOLVER_SPACE, env=environment(tools))


def wait_ready(directory: Path) -> None:
    """Return when all name servers and the resolver listen."""
    waits = [(vendor.space, vendor.dns_address, places.DNS_API_PORT) for vendor in places.VENDORS if vendor.dns]
    waits += [(vendor.space, vendor.dns_address, 53) for vendor in places.VENDORS if vendor.dns]
    for space, address, port in [*waits, (places.RESOLVER_SPACE, places.RESOLVER, 53)]:
        if not network.wait_for_port(space, address, port, START_WAIT_S):
            raise ResilienceError(
                f"The name server at {address} did not start",
                f"Nothing listens after {START_WAIT_S:.0f} s; its log is in {directory}/log.",
                "Read the log; then resilience lab down, and try again.",
            )
