"""What a site's vendor tells beforehand: AWS's interfaces as moto plays them, Hetzner's recorded answers through its client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from resilience.adapters.vendor_preflight import preflight
from resilience.errors import ResilienceError, VendorClosed
from resilience.model import Machine, Site
from tests.aws_server import client, dns_server

KEYS = {"AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "root"}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """All of AWS, as far as moto plays it: its address."""
    with dns_server() as url:
        yield url


def outcomes(site: Site, credentials: dict[str, str], url: str) -> dict[str, tuple[str, str]]:
    """Each question's outcome, and what was said."""
    return {trial.name: (trial.outcome, trial.said) for trial in preflight(site, credentials, url)}


def test_a_region_that_has_all(aws: str) -> None:
    """Credentials, region and size are there; networks have room; what moto does not play is unknown, never a pass."""
    found = outcomes(Site("oak", "amazon", "aws", region="us-east-1"), KEYS, aws)
    assert found["credentials"][0] == "pass"
    assert found["region"] == ("pass", "us-east-1 is a region")
    assert found["size"] == ("pass", "t3.medium is offered in us-east-1")
    assert found["quota of networks"][0] == "pass"
    assert found["quota of processors"] == ("unknown", "no answer (NoSuchResourceException)")
    assert found["account"][0] == "unknown"


def test_what_is_not_there_fails_before_anything_is_made(aws: str) -> None:
    """A type and an image that nobody offers, and networks that are used up: each said with what to do."""
    ec2 = client("ec2", aws)
    made = [ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(5)]
    try:
        site = Site("oak", "amazon", "aws", region="us-east-1", type="t9.huge", image="ami-0123456789abcdef0")
        found = {trial.name: trial for trial in preflight(site, KEYS, aws)}
    finally:
        for vpc in made:
            ec2.delete_vpc(VpcId=vpc)
    assert (found["size"].outcome, "t9.huge" in found["size"].said) == ("fail", True)
    assert found["image"].outcome in {"fail", "unknown"}
    assert found["quota of networks"].outcome == "fail"
    assert "days" in found["quota of networks"].next


@contextmanager
def hetzner(status: int, answers: dict[str, object]) -> Iterator[tuple[str, list[str]]]:
    """A vendor that gives each path its recorded answer; its address, and what it was asked."""
    asked: list[str] = []

    class Recorded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0].strip("/")
            asked.append(self.path)
            body = json.dumps(answers.get(path, answers.get("*", {}))).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on the side."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorded) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


SITE = Site("elm", "hetzner", "hetzner", region="fsn1", least=Machine(4, 8, 80))
TOKEN = {"HCLOUD_TOKEN": "t"}
ENDED = pytest.raises(VendorClosed, match="resource_locked")


def test_hetzner_is_asked_for_three_things() -> None:
    """One request each, by name; limits can't be asked, and that is said."""
    answers: dict[str, object] = {
        "locations": {"locations": [{"id": 1, "name": "fsn1"}]},
        "server_types": {"server_types": [{"id": 2, "name": "cx33"}]},
        "images": {"images": []},
    }
    with hetzner(200, answers) as (url, asked):
        found = outcomes(SITE, TOKEN, url)
    assert found["region"] == ("pass", "fsn1 is a location")
    assert found["size"] == ("pass", "cx33 is sold")
    assert found["image"][0] == "fail"
    assert found["quota"][0] == "unknown"
    assert len(asked) == 3


def test_a_refusal_is_unknown_and_a_closed_account_is_said() -> None:
    """A token that is refused tells nothing of regions; a locked resource is the account's end."""
    with hetzner(401, {"*": {"error": {"code": "unauthorized", "message": "no"}}}) as (url, _):
        assert outcomes(SITE, TOKEN, url)["region"] == ("unknown", "no answer (unauthorized)")
    with hetzner(423, {"*": {"error": {"code": "resource_locked", "message": "support"}}}) as (url, _), ENDED:
        preflight(SITE, TOKEN, url)


def test_a_vendor_that_nobody_asks_is_said() -> None:
    """Google and OpenStack have no client here."""
    with pytest.raises(ResilienceError, match="not asked"):
        preflight(Site("oak", "google", "gcp"), {})
