"""The zone declared once, and the registry's word: what a check says of drift, silence, holds, locks and expiry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from resilience import config
from resilience.adapters.rdap import registration
from resilience.decide.names import registered, wanted, zones_alike
from resilience.errors import FleetError, ResilienceError
from resilience.model import RecordSpec, Registration, Survey, Unknown, ZoneReading

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/two-clouds-and-metal.toml"
FLEET = config.load(EXAMPLE)
DAY = 86_400.0
LOCKED = "client transfer prohibited"
TOLD = {
    "objectClassName": "domain",
    "ldhName": "FORUM.EXAMPLE",
    "status": ["client hold", "client transfer prohibited"],
    "events": [
        {"eventAction": "registration", "eventDate": "2019-01-01T00:00:00Z"},
        {"eventAction": "expiration", "eventDate": "2027-01-01T00:00:00Z"},
    ],
    "nameservers": [{"ldhName": "NS2.one.example."}, {"ldhName": "ns1.two.example"}],
}


@contextmanager
def registry(status: int, body: str) -> Iterator[str]:
    """A registry that gives one recorded answer; where it is asked."""

    class Recorded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Nothing on the side."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorded) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/domain/forum.example"
        server.shutdown()


def test_a_registry_s_answer_is_read() -> None:
    """Statuses, expiry and name servers, in one form whatever the registry's spelling."""
    with registry(200, json.dumps(TOLD)) as url:
        found = registration(url)
    assert found.domain == "forum.example"
    assert found.statuses == ("client hold", LOCKED)
    assert found.expires_at == 1798761600.0
    assert found.nameservers == ("ns1.two.example", "ns2.one.example")


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, "{}"), (200, "<html>busy</html>"), (200, "[]"), (200, '{"ldhName": "x", "status": 5}'), (429, "")],
)
def test_what_is_no_answer_is_said(status: int, body: str) -> None:
    """Not found, a page for people, another shape, too many questions: one error with where to look."""
    with registry(status, body) as url, pytest.raises(ResilienceError, match="does not tell") as caught:
        registration(url)
    assert "names.rdap" in caught.value.next


def test_nobody_there_is_said() -> None:
    """A registry that can't be reached makes the reading unknown, never a pass."""
    with pytest.raises(ResilienceError, match="does not tell"):
        registration("http://127.0.0.1:9/domain/x")


def grades(seen: Registration | Unknown, now: float = 0.0) -> dict[str, str]:
    """Grade by the first words of each finding."""
    found = registered(FLEET, Survey(now, registration=seen))
    return {finding.said.split(":")[0]: finding.grade for finding in found}


def test_holds_locks_and_expiry_are_graded() -> None:
    """On hold and nearly expired fail, soon to expire and unlocked warn, what is not told is unknown."""
    good = Registration("forum.example", (LOCKED,), 900 * DAY, ())
    assert set(grades(good).values()) == {"pass"}
    for hold in ("client hold", "server hold"):
        assert grades(replace(good, statuses=(hold, LOCKED)))["the domain is on hold"] == "fail"
    assert grades(replace(good, statuses=("active",)))["it is not locked against a transfer"] == "warn"
    assert grades(replace(good, expires_at=30 * DAY))["it expires on 1970-01-31"] == "warn"
    assert grades(replace(good, expires_at=3 * DAY))["it expires on 1970-01-04"] == "fail"
    assert grades(replace(good, expires_at=None))["when it expires is not told"] == "unknown"
    assert grades(Unknown("no answer")) == {"no answer": "unknown"}


SERVED = replace(
    FLEET,
    names=replace(
        FLEET.names,
        zones=tuple(replace(z, nameservers=(f"ns.{z.vendor}.example",)) for z in FLEET.names.zones),
        records=(RecordSpec("@", "MX", 300, ("10 mail.example.",)),),
    ),
)


def test_the_delegation_is_compared() -> None:
    """What the registry delegates to is not what is declared: said with both, and where to change it."""
    seen = Registration("forum.example", (LOCKED,), 900 * DAY, ("ns.elsewhere.example",))
    (finding,) = [f for f in registered(SERVED, Survey(0.0, registration=seen)) if "delegated" in f.said]
    assert finding.grade == "warn"
    assert "ns.cloudflare.example" in finding.said


def test_all_vendors_name_servers_are_wanted_at_each() -> None:
    """Where every zone names its servers, the NS set of each holds all of them; where one does not, none is declared."""
    assert wanted(SERVED.names, "cloudflare")[0].values == ("ns.cloudflare.example.", "ns.google.example.")
    one = (replace(SERVED.names.zones[0], nameservers=()), SERVED.names.zones[1])
    assert [record.type for record in wanted(replace(SERVED.names, zones=one), "google")] == ["MX"]


def test_drift_and_silence_are_told() -> None:
    """As declared passes; another record warns with both; serials apart warn; name servers that are silent are unknown."""
    drifted = ("forum.example. MX is absent, declared 10 mail.example. (300 s)",)
    zones = {
        "cloudflare": ZoneReading((), 60, (), {"ns.cloudflare.example": 7}),
        "google": ZoneReading((), 60, drifted, Unknown("ns.google.example does not serve it")),
        "third": ZoneReading((), 60, (), {"a": 1, "b": 2}),
    }
    found = [(f.subject, f.grade) for f in zones_alike(SERVED, Survey(0.0, zones=zones))]
    assert found == [
        ("cloudflare", "pass"), ("cloudflare", "pass"), ("google", "warn"), ("google", "unknown"), ("third", "pass"),
        ("third", "warn"),
    ]  # fmt: skip


def test_the_host_s_own_addresses_can_not_be_declared() -> None:
    """A declared address of the host would undo a failover: refused with its line."""
    own = '\n[[names.record]]\nname = "forum.example"\ntype = "A"\nvalues = ["192.0.2.1"]\n'
    with pytest.raises(FleetError, match="record"):
        config.parse(EXAMPLE.read_text() + own)
