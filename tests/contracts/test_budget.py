"""Requests to vendors are bounded: by a server that always says 429, one that asks for patience, and one that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from resilience.adapters.budget import ALLOWED, Allowance, Budget, BudgetSpent
from resilience.adapters.octodns_zone import OctoDnsZone
from resilience.adapters.vendor_clients import paced
from resilience.adapters.vendor_preflight import preflight
from resilience.errors import ResilienceError, VaultSilent
from resilience.model import Site, VaultSpec, ZoneSpec
from resilience.replication.vaults import open_vault
from tests.contracts.test_vendor_preflight import FIR, KEYS, ROWAN, SITE, TOKEN, google_key

OAK = Site("oak", "amazon", "aws", region="us-east-1")
FEW = Allowance(requests=2, per_second=1000, seconds=60)
BODY = b"<Error><Code>TooMany</Code></Error>"
Ask = Callable[[str, Budget], object]


@contextmanager
def server(status: int, headers: dict[str, str], *, hangs: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A vendor that gives everybody this answer, or none; where it is, and when it was asked for what."""
    asked: list[str] = []
    over = Event()

    class Vendor(BaseHTTPRequestHandler):
        """Reads the request, notes it, answers."""

        def do_GET(self) -> None:
            """Note it."""
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(self.path)
            if hangs:
                over.wait()
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(BODY)), "Content-Type": "text/xml"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(BODY)

        do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing on the screen."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_address[1]}", asked
    finally:
        over.set()
        made.shutdown()
        made.server_close()


def vault(kind: str, credentials: dict[str, str]) -> Ask:
    """Twenty reads of a vault."""

    def ask(url: str, budget: Budget) -> None:
        spec = VaultSpec("v", "v", kind, url, "bucket")  # type: ignore[arg-type]
        opened = paced(open_vault(spec, credentials), budget)
        for _ in range(20):
            try:
                opened.get("key")
            except VaultSilent:
                continue

    return ask


def zone(kind: str, key: str) -> Ask:
    """A name that is looked for at a DNS vendor, over and over."""

    def ask(url: str, budget: Budget) -> None:
        opened = OctoDnsZone(ZoneSpec("d", kind, endpoint=url), key, budget=budget)  # type: ignore[arg-type]
        for _ in range(20):
            try:
                opened.addresses("www.example.net")
            except BudgetSpent:
                raise
            except ResilienceError:
                continue

    return ask


ASKS: dict[str, Ask] = {
    "aws": lambda url, budget: preflight(OAK, KEYS, url, budget=budget),
    "hetzner": lambda url, budget: preflight(SITE, TOKEN, url, budget=budget),
    "gcp": lambda url, budget: preflight(FIR, google_key(url), url, budget=budget),
    "openstack": lambda url, budget: preflight(
        ROWAN,
        {"OS_AUTH_URL": f"{url}/v3", "OS_APPLICATION_CREDENTIAL_ID": "i", "OS_APPLICATION_CREDENTIAL_SECRET": "s"},
        budget=budget,
    ),
    "s3": vault("s3", {"access_key_id": "a", "secret_access_key": "b"}),
    "gcs": vault("gcs", {"token": "t"}),
    "powerdns": zone("powerdns", "key"),
    "cloudflare": zone("cloudflare", "token"),
}


@pytest.mark.parametrize("who", ASKS)
def test_a_vendor_that_always_refuses_is_asked_so_often_and_no_more(who: str) -> None:
    """Each client's own attempts count: never more requests than allowed, and whoever is left without is told."""
    budget = Budget(who, FEW)
    with server(429, {}) as (url, asked):
        try:
            found = ASKS[who](url, budget)
        except BudgetSpent as spent:
            found = spent
    assert 0 < len(asked) == budget.sent <= FEW.requests
    assert len(asked) < FEW.requests or "is asked no more" in str(found)


@pytest.mark.parametrize("who", ASKS)
def test_a_vendor_that_asks_for_an_hour_gets_it(who: str) -> None:
    """After one `Retry-After: 3600` nobody asks again but who was under way, and the command does not wait an hour."""
    budget = Budget(who, FEW)
    began = time.monotonic()
    with server(429, {"Retry-After": "3600"}) as (url, asked):
        try:
            found = ASKS[who](url, budget)
        except BudgetSpent as spent:
            found = spent
    assert len(asked) == 1 or (who, len(asked)) == ("gcs", 2)
    assert "left alone" in str(found)
    assert time.monotonic() - began < FEW.seconds


def test_a_vendor_that_asks_for_a_second_gets_it() -> None:
    """The next request is sent when it said, and not before."""
    budget = Budget("v", FEW)
    budget.spend()
    began = time.monotonic()
    budget.heard(503, {"retry-after": "1"})
    budget.spend()
    assert time.monotonic() - began >= 1
    for nonsense in ("-1", "soon", "", "9" * 5000):
        budget.heard(429, {"Retry-After": nonsense})
    with pytest.raises(BudgetSpent, match="left alone for 86"):
        budget.spend()


def test_a_vendor_that_hangs_is_left_when_the_time_is_over() -> None:
    """Its clients' time-outs and attempts together take no longer than allowed, but for the last one."""
    budget = Budget("v", Allowance(requests=100, per_second=1000, seconds=1))
    with server(200, {}, hangs=True) as (url, asked), pytest.raises(BudgetSpent, match="is asked no more"):
        ASKS["powerdns"](url, budget)
    assert len(asked) == budget.sent == 1


def test_requests_are_no_faster_than_allowed() -> None:
    """Ten at fifty a second take at least nine fiftieths, whoever sends them."""
    budget = Budget("v", Allowance(requests=10, per_second=50, seconds=60))
    began = time.monotonic()
    threads = [Thread(target=budget.spend) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 9 / 50
    with pytest.raises(BudgetSpent):
        budget.spend()


def test_every_command_that_asks_vendors_has_a_budget() -> None:
    """None allows more in its time than a vendor that counts strictly: 1,200 in five minutes."""
    assert set(ALLOWED) == {"check", "names", "up", "vault"}
    assert all(each.requests <= 300 and each.requests <= each.per_second * each.seconds for each in ALLOWED.values())
