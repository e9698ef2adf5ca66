"""Web Push: what arrives at a push service opens with the device's own key and nowhere else; the rest is refused."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import http_ece
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mastodon import MastodonNotFoundError

from resilience.plaza.courier import NotAllowed, connection
from tests.plaza.harness import Site, wait_until
from tests.plaza.pages import browser, send

Sites = Callable[[], Site]


def b64(data: bytes) -> str:
    """As push subscriptions write bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Device:
    """A device: its push service, and its key."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.secret = os.urandom(16)
        self.arrived: list[dict[str, Any]] = []
        self.answers = [201]
        device = self

        class Service(BaseHTTPRequestHandler):
            """Takes what is posted."""

            timeout: ClassVar[float] = 120

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                device.arrived.append({"path": self.path, "headers": dict(self.headers), "body": body})
                self.send_response(device.answers.pop(0) if len(device.answers) > 1 else device.answers[0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}/push/abc"

    def opened(self, number: int = -1) -> dict[str, Any]:
        """A message, decrypted by a library that is not the one that encrypted it."""
        body = self.arrived[number]["body"]
        text = http_ece.decrypt(body, private_key=self.key, auth_secret=self.secret, version="aes128gcm")
        said: dict[str, Any] = json.loads(text)
        return said

    def keys(self) -> dict[str, str]:
        """What a browser hands to the site."""
        return {"endpoint": self.endpoint, "p256dh": b64(self.point), "auth": b64(self.secret)}


@pytest.fixture
def device() -> Iterator[Device]:
    """A device of one's own."""
    found = Device()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(scope="module")
def site(plaza: Site) -> Site:
    """The file's plaza, which may push to loopback."""
    plaza.stop()
    plaza.settings["PUSH_TRUST"] = "127.0.0.1"
    plaza.launch()
    wait_until(plaza.ready, plaza.log)
    return plaza


def test_a_follow_arrives_at_the_device(site: Site, device: Device, name: str) -> None:
    """Mastodon.py subscribes; a follow is pushed, opens with the device's key, and carries the site's own signature."""
    mine = site.client(name, scopes=["read", "write", "follow", "push"])
    with site.http(mine) as http:
        data = {
            "subscription": {
                "endpoint": device.endpoint,
                "keys": {k: v for k, v in device.keys().items() if k != "endpoint"},
            }
        }
        made = http.post("/api/v1/push/subscription", json={**data, "data": {"alerts": {"follow": True}}}).json()
        instance = http.get("/api/v2/instance").json()["configuration"]["vapid"]["public_key"]
    assert made["alerts"]["follow"] is True
    assert made["alerts"]["mention"] is False
    assert made["server_key"] == instance
    other = site.client(f"{name}o")
    other.account_follow(other.account_lookup(name))
    wait_until(lambda: device.arrived, site.log)
    said = device.opened()
    assert said["notification_type"] == "follow"
    assert said["title"] == f"{name}o follows you"
    headers = {key.lower(): value for key, value in device.arrived[0]["headers"].items()}
    assert headers["content-encoding"] == "aes128gcm"
    assert int(headers["ttl"]) > 0
    scheme, _, rest = headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert (scheme, parts["k"]) == ("vapid", instance)
    raw = base64.urlsafe_b64decode(parts["k"] + "==")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    claims = jwt.decode(parts["t"], public, algorithms=["ES256"], audience="http://127.0.0.1")
    assert claims["sub"].startswith("mailto:")
    wait_until(lambda: site.sql("SELECT count(*) FROM push_queue") == [(0,)], site.log)


def test_subscriptions_as_mastodon_py_makes_them(site: Site, device: Device, name: str) -> None:
    """Set, show, change, remove; after that there is none."""
    api = site.client(name, scopes=["read", "write", "follow", "push"])
    private, public = api.push_subscription_generate_keys()
    del private
    made = api.push_subscription_set(device.endpoint, public, mention_events=True)
    assert made.endpoint == device.endpoint
    assert api.push_subscription().alerts.mention
    assert not api.push_subscription_update(mention_events=False, follow_events=True).alerts.mention
    api.push_subscription_delete()
    with pytest.raises(MastodonNotFoundError):
        api.push_subscription()


def test_a_browser_subscribes_for_its_session(site: Site, device: Device, name: str) -> None:
    """By an ordinary form; logging out ends it."""
    site.client(name)
    client = browser(site, name)
    assert send(client, "/settings/messages", device.keys()).status_code == 303
    other = site.client(f"{name}o")
    other.status_post(f"Hello @{name}")
    wait_until(lambda: device.arrived, site.log)
    assert device.opened()["body"].startswith("Hello")
    send(client, "/logout", {}, page="/settings")
    assert site.sql("SELECT count(*) FROM push_subscriptions WHERE endpoint = %s", device.endpoint) == [(0,)]


def test_a_device_that_is_gone_is_forgotten_and_a_tired_one_asked_again(site: Site, device: Device, name: str) -> None:
    """503 is tried again later, 410 ends the subscription."""
    site.client(name)
    client = browser(site, name)
    send(client, "/settings/messages", device.keys())
    device.answers = [503, 410]
    other = site.client(f"{name}o")
    other.status_post(f"Hello @{name}")
    wait_until(lambda: site.sql("SELECT tries FROM push_queue WHERE tries = 1 AND due > now()"), site.log)
    site.sql("UPDATE push_queue SET due = now()")
    gone = "SELECT count(*) FROM push_subscriptions WHERE endpoint = %s"
    wait_until(lambda: site.sql(gone, device.endpoint) == [(0,)], site.log)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://10.0.0.1/x", "https://169.254.169.254/",
        "https://push.example:8443/x", "http://push.example/x", "https://0.0.0.0/", "https://[fd00::1]/", "https://2130706433/",
    ],
)  # fmt: skip
def test_nothing_is_sent_into_our_own_network(endpoint: str) -> None:
    """Addresses that people give us lead out into the world, by https on its own port, or nowhere."""
    with pytest.raises(NotAllowed):
        connection(endpoint, frozenset())


def test_subscriptions_that_nothing_can_be_sent_to_are_refused(site: Site, device: Device, name: str) -> None:
    """Junk keys, another scheme, no scope."""
    api = site.client(name, scopes=["read", "write", "follow", "push"])
    good = {f"subscription[keys][{key}]": value for key, value in device.keys().items() if key != "endpoint"}
    with site.http(api) as http:
        for form in (
            {**good, "subscription[endpoint]": "javascript:alert(1)"},
            {**good, "subscription[endpoint]": device.endpoint, "subscription[keys][auth]": "short"},
            {**good, "subscription[endpoint]": device.endpoint, "data[policy]": "nobody"},
        ):
            assert http.post("/api/v1/push/subscription", data=form).status_code == 422
    plain = site.client(f"{name}p", scopes=["read", "write"])
    with site.http(plain) as http:
        assert http.post("/api/v1/push/subscription", data=good).status_code == 403
