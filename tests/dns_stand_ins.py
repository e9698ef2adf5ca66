"""Google's, Hetzner's and Cloudflare's DNS as this project plays them on loopback: stand-ins of our own, after their published interfaces.

They keep zones and record sets, answer in pages, refuse what the vendors say they refuse, and bump the serial with each change.
No vendor was asked: what a vendor does beside its documentation, they do not.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from google.auth.exceptions import GoogleAuthError

PAGE = 2
"""Items a page: fewer than any zone has, so that every list takes several."""
PROJECT = "social-app"
TOKEN = "loopback-only"
AUDIENCE = "https://oauth2.googleapis.com/token"
"""Whom Google's library addresses what it signs to, wherever it sends it."""
Answer = tuple[int, object]
Rrset = tuple[int, list[str]]


@dataclass
class StandIn(ABC):
    """What all have in common: zones by name, and what they were asked."""

    url: str = ""
    zones: dict[str, dict[tuple[str, str], Rrset]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    next_answers: list[tuple[int, object]] = field(default_factory=list)
    """What the next calls that name a record set or a change are answered with, whatever they ask."""
    soa = ""

    def add_zone(self, name: str) -> None:
        """A zone as the vendor makes it: its own name servers and start of authority, no more."""
        servers = [f"ns{n}.{type(self).__name__.lower()}.test." for n in (1, 2, 3)]
        self.zones[name] = {
            (f"{name}.", "NS"): (21600, servers),
            (f"{name}.", "SOA"): (21600, [self.soa.format(server=servers[0])]),
        }

    def changed(self, name: str) -> None:
        """Every change counts the serial up, whatever was written there."""
        ttl, (text,) = self.zones[name][f"{name}.", "SOA"]
        words = text.split()
        words[2] = str(int(words[2]) + 1)
        self.zones[name][f"{name}.", "SOA"] = (ttl, [" ".join(words)])

    @abstractmethod
    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Answer:
        """What the vendor says."""


class Google(StandIn):
    """Cloud DNS v1: managed zones, record sets, changes that apply as a whole or not at all."""

    soa = "{server} cloud-dns-hostmaster.google.com. 1 21600 3600 259200 300"

    def __init__(self) -> None:
        super().__init__()
        self.secret = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.changes: dict[str, dict[str, Any]] = {}

    def key(self) -> str:
        """A service account's JSON, as the console hands it out; its tokens come from here."""
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "1",
                "private_key": self.secret.private_bytes(*form).decode(),
                "client_email": f"names@{PROJECT}.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": f"{self.url}/token",
            }
        )

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Answer:  # noqa: PLR0911 - a table
        """As documented under dns/docs/reference/rest/v1."""
        if path == "/token":
            return self._token(body)
        if token != f"Bearer {TOKEN}":
            return self._refuse(401, "authError", "Invalid Credentials")
        match path.removeprefix(f"/dns/v1/projects/{PROJECT}/managedZones").strip("/").split("/"):
            case [""] if method == "GET":
                return self._paged("managedZones", [self._zone(name) for name in self.zones], query)
            case [zone, *_] if self._named(zone) not in self.zones:
                what = f"The 'parameters.managedZone' resource named '{zone}' does not exist."
                return self._refuse(404, "notFound", what)
            case [_, *_] if self.next_answers:
                return self.next_answers.pop(0)
            case [zone, "rrsets"] if method == "GET":
                held = self.zones[self._named(zone)].items()
                return self._paged("rrsets", [_google(n, t, *rrset) for (n, t), rrset in held], query)
            case [zone, "changes"] if method == "POST":
                return self._change(self._named(zone), body)
            case [_, "changes", number] if method == "GET":
                return 200, self.changes[number] | {"status": "done"}
        return self._refuse(404, "notFound", "Not found")

    def _token(self, body: Any) -> Answer:
        form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        try:
            jwt.decode(body["assertion"], certs=self.secret.public_key().public_bytes(*form), audience=AUDIENCE)  # type: ignore[no-untyped-call]
        except (ValueError, GoogleAuthError):
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        return 200, {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}

    def _change(self, name: str, body: dict[str, Any]) -> Answer:
        """Deletions must be exactly what is held, additions must not be there; else nothing is done."""
        after = dict(self.zones[name])
        for i, rrset in enumerate(body.get("deletions", ())):
            held = after.pop((rrset["name"], rrset["type"]), None)
            if held != (int(rrset["ttl"]), rrset["rrdatas"]):
                return self._refuse(412, "conditionNotMet", f"Precondition not met for 'entity.change.deletions[{i}]'")
        for i, rrset in enumerate(body.get("additions", ())):
            what = (
                f"The resource 'entity.change.additions[{i}]' named '{rrset['name']} ({rrset['type']})' already exists"
            )
            if (rrset["name"], rrset["type"]) in after:
                return self._refuse(409, "alreadyExists", what)
            after[rrset["name"], rrset["type"]] = (int(rrset["ttl"]), rrset["rrdatas"])
        if not {(f"{name}.", "NS"), (f"{name}.", "SOA")} <= set(after):
            return self._refuse(400, "containerRequired", "The zone's own NS and SOA may not be removed")
        self.zones[name] = after
        self.changed(name)
        number = str(len(self.changes))
        self.changes[number] = {"kind": "dns#change", "id": number, "startTime": "2026-01-01T00:00:00.000Z", **body}
        return 200, self.changes[number] | {"status": "pending"}

    def _paged(self, what: str, items: list[Any], query: dict[str, str]) -> Answer:
        begin = int(query.get("pageToken", "0"))
        more = {"nextPageToken": str(begin + PAGE)} if begin + PAGE < len(items) else {}
        return 200, {what: items[begin : begin + PAGE], **more}

    def _zone(self, name: str) -> dict[str, object]:
        return {
            "kind": "dns#managedZone",
            "id": "1",
            "name": name.replace(".", "-"),
            "dnsName": f"{name}.",
            "visibility": "public",
            "creationTime": "2026-01-01T00:00:00.000Z",
            "nameServers": self.zones[name][f"{name}.", "NS"][1],
        }

    def _named(self, zone: str) -> str:
        return next((name for name in self.zones if name.replace(".", "-") == zone), zone)

    @staticmethod
    def _refuse(status: int, reason: str, message: str) -> Answer:
        errors = [{"message": message, "domain": "global", "reason": reason}]
        return status, {"error": {"code": status, "message": message, "errors": errors}}


class Hetzner(StandIn):
    """The Cloud API's zones: record sets by name and kind, and actions that run for a while."""

    soa = "{server} dns.hetzner.com. 1 86400 10800 3600000 3600"

    def __init__(self) -> None:
        super().__init__()
        self.actions: dict[int, dict[str, Any]] = {}
        self.failing = False
        """Whether what was taken fails after all: its action ends with an error."""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Answer:  # noqa: PLR0911 - a table
        """As documented under docs.hetzner.cloud/reference/cloud, zones and zone-rrsets."""
        if token != f"Bearer {TOKEN}":
            return self._refuse(401, "unauthorized", "unable to authenticate")
        match path.removeprefix("/v1/").split("/"):
            case ["actions", number] if method == "GET":
                return 200, {"action": self.actions[int(number)]}
            case ["zones"] if method == "GET":
                return self._paged("zones", [self._zone(name) for name in self.zones], query)
            case ["zones", zone, *_] if self._named(zone) not in self.zones:
                return self._refuse(404, "not_found", "zone not found")
            case ["zones", zone] if method == "GET":
                return 200, {"zone": self._zone(self._named(zone))}
            case ["zones", _, "rrsets", *_] if self.next_answers:
                return self.next_answers.pop(0)
            case ["zones", zone, "rrsets"] if method == "GET":
                name = self._named(zone)
                return self._paged(
                    "rrsets", [self._rrset(name, *key, *rrset) for key, rrset in self.zones[name].items()], query
                )
            case ["zones", zone, "rrsets", *rest]:
                return self._write(self._named(zone), method, rest, body)
        return self._refuse(404, "not_found", "not found")

    def _write(self, zone: str, method: str, rest: list[str], body: Any) -> Answer:
        held = self.zones[zone]
        name, kind = rest[:2] if rest else (body["name"], body["type"])
        key = (f"{zone}." if name == "@" else f"{name}.{zone}.", kind)
        ttl, values = held.get(key, (10800, []))
        if rest and key not in held:
            return self._refuse(404, "not_found", f"RRSet {name}/{kind} not found")
        if not rest and key in held:
            return self._refuse(409, "uniqueness_error", "RRSet already exists")
        if method == "DELETE" and key[0] == f"{zone}." and kind in {"NS", "SOA"}:
            return self._refuse(422, "invalid_input", "the zone's own NS and SOA may not be removed")
        wanted = (body or {}).get("ttl", ttl)
        if not 60 <= wanted <= 2147483647:
            return self._refuse(422, "invalid_input", "invalid input in field 'ttl': must be at least 60")
        wished = (wanted, [record["value"] for record in (body or {}).get("records", ())] or values)
        created = {} if rest else {"rrset": self._rrset(zone, *key, *wished)}
        if method == "DELETE" and not self.failing:
            del held[key]
        elif not self.failing:
            held[key] = wished
        self.changed(zone)
        return 201, {**created, "action": self._action()}

    def _action(self) -> dict[str, object]:
        """A new action: running in this answer, over in the next."""
        error = {"code": "action_failed", "message": "Action failed"} if self.failing else None
        number = len(self.actions) + 1
        began = {"id": number, "command": "change", "progress": 0, "resources": [], "error": None}
        began |= {"started": "2026-01-01T00:00:00+00:00", "finished": None}
        self.actions[number] = began | {"status": "error" if error else "success", "error": error, "progress": 100}
        return began | {"status": "running"}

    def _paged(self, what: str, items: list[Any], query: dict[str, str]) -> Answer:
        page, last = int(query.get("page", "1")), -(-len(items) // PAGE)
        meta = {"page": page, "per_page": PAGE, "last_page": last, "total_entries": len(items)}
        meta |= {"previous_page": page - 1 or None, "next_page": page + 1 if page < last else None}  # type: ignore[dict-item]
        return 200, {what: items[PAGE * (page - 1) : PAGE * page], "meta": {"pagination": meta}}

    def _zone(self, name: str) -> dict[str, object]:
        servers = {"assigned": self.zones[name][f"{name}.", "NS"][1], "delegated": [], "delegation_status": "unknown"}
        number = list(self.zones).index(name) + 1
        plain = {"labels": {}, "protection": {"delete": False}, "status": "ok", "registrar": "unknown"}
        more = {"record_count": len(self.zones[name]), "created": "2026-01-01T00:00:00+00:00"}
        own = {"id": number, "name": name, "mode": "primary", "ttl": 10800, "authoritative_nameservers": servers}
        return {**own, **plain, **more}

    def _rrset(self, zone: str, full: str, kind: str, ttl: int, values: list[str]) -> dict[str, object]:
        name = full.removesuffix(f"{zone}.").rstrip(".") or "@"
        records = [{"value": value, "comment": ""} for value in values]
        own = {"id": f"{name}/{kind}", "name": name, "type": kind, "ttl": ttl, "records": records}
        return {**own, "zone": list(self.zones).index(zone) + 1, "labels": {}, "protection": {"change": False}}

    def _named(self, zone: str) -> str:
        return next((name for n, name in enumerate(self.zones, 1) if str(n) == zone), zone)

    @staticmethod
    def _refuse(status: int, code: str, message: str) -> Answer:
        return status, {"error": {"code": code, "message": message, "details": None}}


class Cloudflare(StandIn):
    """API v4: records one by one, each with a number, and settings of the zone with the SOA in them; the NS set is Cloudflare's."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, dict[str, Any]]] = {}
        self.soas: dict[str, dict[str, Any]] = {}

    def add_zone(self, name: str) -> None:
        """A zone with nothing in it that can be changed."""
        self.records[name] = {}
        timers = {"refresh": 10000, "retry": 2400, "expire": 604800, "min_ttl": 1800, "ttl": 3600}
        self.soas[name] = {"mname": "kristina.ns.cloudflare.test", "rname": "dns.cloudflare.test", **timers}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Answer:
        """As documented under developers.cloudflare.com/api, zones, dns/records and dns/settings."""
        if token != f"Bearer {TOKEN}":
            return 403, {"success": False, "errors": [{"code": 9109, "message": "Invalid access token"}]}
        match path.strip("/").split("/"):
            case ["zones"]:
                zones = [{"id": f"id-{name}", "name": name, "plan": {"legacy_id": "free"}} for name in self.records]
                return self._paged(zones, query)
            case ["zones", zone, *_] if zone.removeprefix("id-") not in self.records:
                return 404, {"success": False, "errors": [{"code": 7003, "message": "Could not route"}]}
            case ["zones", zone, "dns_settings"]:
                soa = self.soas[zone.removeprefix("id-")]
                soa |= (body or {}).get("soa", {})
                return 200, {"success": True, "errors": [], "result": {"soa": soa}}
            case ["zones", zone, "dns_records"] if method == "GET":
                return self._paged(list(self.records[zone.removeprefix("id-")].values()), query)
            case ["zones", zone, "dns_records", *number]:
                return self._write(zone.removeprefix("id-"), method, "".join(number), body)
        return 404, {"success": False, "errors": [{"code": 7000, "message": "No route for that URI"}]}

    def _write(self, zone: str, method: str, number: str, body: Any) -> Answer:
        held = self.records[zone]
        if number and number not in held:
            return 404, {"success": False, "errors": [{"code": 81044, "message": "Record does not exist."}]}
        if method == "DELETE":
            del held[number]
            return 200, {"success": True, "errors": [], "result": {"id": number}}
        if any(all(one.get(k) == v for k, v in body.items()) for other, one in held.items() if other != number):
            return 400, {
                "success": False,
                "errors": [{"code": 81058, "message": "An identical record already exists."}],
            }
        if isinstance(told := body.get("content"), str):
            body["content"] = told.rstrip(".")  # names come back without their last dot
        number = number or f"r{len(held)}-{len(self.asked)}"
        held[number] = {**body, "id": number, "zone_id": f"id-{zone}"}
        return 200, {"success": True, "errors": [], "result": held[number]}

    @staticmethod
    def _paged(items: list[Any], query: dict[str, str]) -> Answer:
        begin = PAGE * (int(query["page"]) - 1)
        shown = items[begin : begin + PAGE]
        info = {"page": int(query["page"]), "per_page": PAGE, "count": len(shown), "total_count": len(items)}
        return 200, {"success": True, "errors": [], "result": shown, "result_info": info}


def _google(name: str, kind: str, ttl: int, values: list[str]) -> dict[str, object]:
    return {"kind": "dns#resourceRecordSet", "name": name, "type": kind, "ttl": ttl, "rrdatas": values}


@contextmanager
def served(vendor: StandIn) -> Iterator[None]:
    """The vendor on a socket of loopback, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            at, sent = urlsplit(self.path), self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            vendor.asked.append(f"{self.command} {at.path}")
            form = {name: values[0] for name, values in parse_qs(sent).items()}
            body = form if at.path == "/token" else json.loads(sent or "null")
            query = {name: values[0] for name, values in parse_qs(at.query).items()}
            token = self.headers.get("Authorization", "")
            status, said = vendor.answer(self.command, at.path, query, body, token)
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(said, str) else "application/json")
            self.end_headers()
            self.wfile.write((said if isinstance(said, str) else json.dumps(said)).encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            """Nothing on the side."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        vendor.url = f"http://127.0.0.1:{server.server_port}"
        yield
        server.shutdown()
