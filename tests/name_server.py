"""A real PowerDNS on loopback for tests, with its API."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import httpx

from resilience import caches
from resilience.adapters.credentials import parse
from resilience.lab.dns import environment
from resilience.model import ZoneSpec
from tests.vault_servers import free_ports, running

KEY = "loopback-only"
TSIG = "TSIG_NAME=operator\nTSIG_ALGORITHM=hmac-sha256\nTSIG_SECRET=bG9vcGJhY2sgb25seSwgYW5kIG5vIHNlY3JldA==\n"


@dataclass(frozen=True)
class NameServer:
    """One name server: where it is asked, and where it is told."""

    dns_port: int
    api_port: int

    @property
    def spec(self) -> ZoneSpec:
        """As a fleet declares it."""
        return ZoneSpec("dover", "powerdns", f"http://127.0.0.1:{self.api_port}")

    def updated(self, zone: str) -> ZoneSpec:
        """The same server as a fleet declares it that tells it of changes by RFC 2136."""
        return ZoneSpec("dover", "rfc2136", f"dns://127.0.0.1:{self.dns_port}", zone)

    def add_zone(self, name: str, records: dict[tuple[str, str], list[str]]) -> None:
        """Make a zone with name servers of its own and these records: (name, type) → contents."""
        rrsets = [
            {"name": f"{host}.", "type": kind, "ttl": 300, "records": [{"content": c} for c in contents]}
            for (host, kind), contents in records.items()
        ]
        zone: dict[str, object] = {
            "name": f"{name}.",
            "kind": "Native",
            "nameservers": [f"ns1.{name}."],
            "rrsets": rrsets,
        }
        zone["master_tsig_key_ids"] = ["operator."]
        self.api("POST", "zones", zone)
        self.api("POST", f"zones/{name}./metadata", {"kind": "TSIG-ALLOW-DNSUPDATE", "metadata": ["operator"]})

    def api(self, method: str, path: str, body: object = None) -> httpx.Response:
        """One call to the server's own API, past our adapter."""
        url = f"{self.spec.endpoint}/api/v1/servers/localhost/{path}"
        answer = httpx.request(method, url, json=body, headers={"X-API-Key": KEY}, timeout=60)
        answer.raise_for_status()
        return answer

    def records(self, zone: str) -> set[tuple[str, str, int, str]]:
        """Everything in a zone but its serial: (name, type, ttl, content)."""
        return {
            (rrset["name"], rrset["type"], rrset["ttl"], record["content"])
            for rrset in self.api("GET", f"zones/{zone}.").json()["rrsets"]
            if rrset["type"] != "SOA"
            for record in rrset["records"]
        }

    def ask(self, host: str, kind: str = "A") -> list[tuple[str, int]]:
        """What anybody is told who asks for this name: (address, ttl)."""
        query = dns.message.make_query(host, kind)
        answer = dns.query.udp(query, "127.0.0.1", port=self.dns_port, timeout=60)
        found = [rrset for rrset in answer.answer if rrset.rdtype == dns.rdatatype.from_text(kind)]
        return sorted((record.to_text(), rrset.ttl) for rrset in found for record in rrset)


@contextmanager
def name_server(folder: Path) -> Iterator[NameServer]:
    """Run one, empty, for as long as the block lasts."""
    folder.mkdir(parents=True)
    tools = caches.tools()
    dns_port, api_port = free_ports(2)
    schema = next(tools.glob("usr/share/**/schema.sqlite3.sql")).read_text()
    with sqlite3.connect(folder / "zones.sqlite3") as database:
        database.executescript(schema)
    database.close()
    settings = {
        "launch": "gsqlite3",
        "gsqlite3-database": str(folder / "zones.sqlite3"),
        "module-dir": str(next((tools / "usr/lib").glob("*-linux-*/pdns"))),
        "socket-dir": str(folder),
        "local-address": "127.0.0.1",
        "local-port": str(dns_port),
        "webserver": "yes",
        "webserver-address": "127.0.0.1",
        "webserver-port": str(api_port),
        "api": "yes",
        "api-key": KEY,
        "cache-ttl": "0",
        "query-cache-ttl": "0",
        "negquery-cache-ttl": "0",
        "zone-cache-refresh-interval": "0",
        "dnsupdate": "yes",
        "allow-dnsupdate-from": "127.0.0.0/8",
        "allow-axfr-ips": "",
        "security-poll-suffix": "",
        "guardian": "no",
        "daemon": "no",
    }
    (folder / "pdns.conf").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    libraries = ":".join(environment(tools).values())
    argv = ["env", f"LD_LIBRARY_PATH={libraries}", str(tools / "usr/sbin/pdns_server"), f"--config-dir={folder}"]
    with running(argv, f"http://127.0.0.1:{api_port}/api", folder / "log", folder):
        found = NameServer(dns_port, api_port)
        name, algorithm, secret = parse(TSIG).values()
        found.api("POST", "tsigkeys", {"name": name, "algorithm": algorithm, "key": secret})
        yield found
