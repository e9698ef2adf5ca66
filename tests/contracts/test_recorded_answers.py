"""Answers that vendors are known to give, replayed through their own clients: what each means to us.

A closed account is told by its code alone; what only looks like one, and every page for people, is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import boto3
import pytest
import requests
from botocore.config import Config
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import dns  # type: ignore[import-untyped]
from hcloud import Client as Hcloud
from keystoneauth1.identity.v3 import ApplicationCredential
from keystoneauth1.session import Session

from resilience.adapters.account import HttpAccount
from resilience.adapters.answers import closed, codes_of
from resilience.adapters.octodns_zone import OctoDnsZone, ZoneUnchanged
from resilience.adapters.pulumi_errors import translate
from resilience.errors import ResilienceError, VendorClosed
from resilience.model import Site, ZoneSpec

XML, JSON, HTML = "application/xml", "application/json", "text/html"
Ask = Callable[[str], object]


@contextmanager
def answering(status: int, kind: str, body: str) -> Iterator[str]:
    """A vendor that gives every request one recorded answer; its address."""

    class Recorded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_PUT = do_GET  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            """Nothing on the side."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorded) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def aws(service: str, call: str) -> Ask:
    """A call of boto3, once."""
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=60)
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    return lambda url: getattr(boto3.client(service, endpoint_url=url, config=once, **keys), call)()  # type: ignore[call-overload]


def google(url: str) -> object:
    """A call of Google's own DNS client, once."""
    options = ClientOptions(api_endpoint=url)
    who = AnonymousCredentials()  # type: ignore[no-untyped-call]
    return list(dns.Client("p", who, client_options=options).list_zones())


def hetzner(url: str) -> object:
    """A call of Hetzner's own client."""
    return Hcloud("t", api_endpoint=url, poll_interval=0).servers.get_all()


def openstack(url: str) -> object:
    """A token from OpenStack's own session, as the preflight asks for one."""
    key = ApplicationCredential(f"{url}/v3", application_credential_id="i", application_credential_secret="s")
    return Session(auth=key, timeout=60).get_project_id()


def ec2(code: str, said: str) -> str:
    """How EC2 says it."""
    return f"<Response><Errors><Error><Code>{code}</Code><Message>{said}</Message></Error></Errors></Response>"


def query(code: str) -> str:
    """How IAM, STS and Route 53 say it."""
    return f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"


def api(reason: str, said: str) -> str:
    """How Google's APIs say it."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
    return json.dumps({"error": {"code": 403, "message": said, "status": "PERMISSION_DENIED", "details": [info]}})


def hcloud(code: str, said: str) -> str:
    """How Hetzner Cloud says it."""
    return json.dumps({"error": {"code": code, "message": said}})


EC2, SES, STS = aws("ec2", "describe_instances"), aws("sesv2", "get_account"), aws("sts", "get_caller_identity")
ECS, NAMES = aws("ecs", "list_clusters"), aws("route53", "list_hosted_zones")
BLOCKED = "This account is currently blocked and not recognized as a valid account."
CLOSED: list[tuple[str, Ask, int, str, str]] = [
    ("Blocked", EC2, 401, XML, ec2("Blocked", BLOCKED)),
    ("BlockedException", ECS, 400, JSON, '{"__type":"BlockedException","message":"Your account was blocked."}'),
    ("AccountSuspendedException", SES, 400, JSON, '{"__type":"AccountSuspendedException","message":"suspended"}'),
    ("CONSUMER_SUSPENDED", google, 403, JSON, api("CONSUMER_SUSPENDED", "Consumer 'projects/1' has been suspended.")),
    ("GCP_SUSPENDED", google, 403, JSON, api("GCP_SUSPENDED", "associated GCP account has been suspended")),
    ("resource_locked", hetzner, 423, JSON, hcloud("resource_locked", "The caller should contact support")),
]
OPEN: list[tuple[str, Ask, int, str, str]] = [
    ("PendingVerification", EC2, 400, XML, ec2("PendingVerification", "Your account is being verified")),
    ("OptInRequired", EC2, 401, XML, ec2("OptInRequired", "You are not subscribed to this service")),
    ("AuthFailure", EC2, 401, XML, ec2("AuthFailure", "AWS was not able to validate the credentials")),
    ("InvalidClientTokenId", STS, 403, XML, query("InvalidClientTokenId")),
    ("OptInRequired", NAMES, 403, XML, query("OptInRequired")),
    (
        "AccessDeniedException",
        ECS,
        400,
        JSON,
        '{"__type":"AccessDeniedException","message":"temporarily is suspended"}',
    ),
    ("SERVICE_DISABLED", google, 403, JSON, api("SERVICE_DISABLED", "Cloud DNS API has not been used")),
    ("BILLING_DISABLED", google, 403, JSON, api("BILLING_DISABLED", "This API method requires billing")),
    ("USER_PROJECT_DENIED", google, 403, JSON, api("USER_PROJECT_DENIED", "no")),
    ("unauthorized", hetzner, 401, JSON, hcloud("unauthorized", "unable to authenticate")),
    ("forbidden", hetzner, 403, JSON, hcloud("forbidden", "insufficient permissions")),
    ("token_readonly", hetzner, 403, JSON, hcloud("token_readonly", "the token is read only")),
    ("locked", hetzner, 423, JSON, hcloud("locked", "Another action is running")),
    ("resource_limit_exceeded", hetzner, 403, JSON, hcloud("resource_limit_exceeded", "server limit reached")),
    (
        "",
        openstack,
        401,
        JSON,
        '{"error":{"code":401,"title":"Unauthorized","message":"The request requires authentication"}}',
    ),
    ("", openstack, 403, JSON, '{"error":{"code":403,"title":"Forbidden","message":"You are not authorized"}}'),
    ("", openstack, 460, JSON, '{"class":"Client::ResourceExpired","message":"This Service is expired"}'),
    ("", openstack, 403, HTML, "<html><body>blocked by the firewall</body></html>"),
    ("", google, 403, HTML, "<!doctype html><title>Error 403 (Forbidden)!!1</title>"),
    ("", hetzner, 403, HTML, "<html><body>blocked by the firewall</body></html>"),
]


def told(ask: Ask, status: int, kind: str, body: str) -> Exception:
    """The error that a vendor's own client makes of its answer."""
    with answering(status, kind, body) as url, pytest.raises(Exception) as caught:  # noqa: PT011 - each client's own
        ask(url)
    assert isinstance(caught.value, Exception)
    return caught.value


@pytest.mark.parametrize(("code", "ask", "status", "kind", "body"), CLOSED, ids=[case[0] for case in CLOSED])
def test_a_closed_account_is_told_through_the_vendor_s_client(
    code: str, ask: Ask, status: int, kind: str, body: str
) -> None:
    """The vendor and its own word, whichever client raised it in whichever way."""
    found = closed("acme", told(ask, status, kind, body))
    assert isinstance(found, VendorClosed)
    assert (found.vendor, found.code) == ("acme", code)


@pytest.mark.parametrize(("code", "ask", "status", "kind", "body"), OPEN, ids=[f"{c[0]}-{c[3]}" for c in OPEN])
def test_what_only_looks_closed_is_not(code: str, ask: Ask, status: int, kind: str, body: str) -> None:
    """Credentials, quotas, bills, verification, a busy resource, and pages for people decide nothing."""
    error = told(ask, status, kind, body)
    assert closed("acme", error) is None
    assert code in {*codes_of(error), ""}


OTHERS = [
    (403, JSON, '{"error":{"code":"ReadOnlyDisabledSubscription","message":"The subscription is disabled"}}', "closed"),
    (403, XML, "<Error><Code>AccountIsDisabled</Code><Message>The specified account is disabled.</Message></Error>", "closed"),
    (200, JSON, '{"account":{"status":"locked","status_message":"see your mail"}}', "closed"),
    (200, JSON, '{"account":{"status":"warning","status_message":"see your mail"}}', "open"),
    (422, JSON, '{"id":"unprocessable_entity","message":"creating this droplet will exceed your limit"}', "ambiguous"),
    (460, JSON, '{"class":"Client::ResourceExpired","message":"This Service is expired"}', "ambiguous"),
    (403, JSON, '{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}', "ambiguous"),
    (403, HTML, "<html>Since Docker is a US company, we must comply with US export control regulations</html>", "ambiguous"),
    (451, JSON, '{"message":"Repository access blocked","block":{"reason":"dmca"}}', "ambiguous"),
    (405, HTML, "<html><h1>405 Not Allowed</h1></html>", "ambiguous"),
    (503, HTML, "<html><h1>Service Unavailable</h1></html>", "outage"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind", "body", "means"), OTHERS, ids=[f"{c[0]}-{c[3]}-{i}" for i, c in enumerate(OTHERS)]
)
def test_an_account_asked_over_http(status: int, kind: str, body: str, means: str) -> None:
    """Azure, DigitalOcean, OVH, Cloudflare, GitHub, registries: open and closed are told, all else says what it may be."""
    with answering(status, kind, body) as url:
        account = HttpAccount("acme", url, "t")
        if means in {"open", "closed"}:
            assert account.is_open() is (means == "open")
            return
        with pytest.raises(ResilienceError, match=means):
            account.is_open()


def test_a_dns_vendor_that_closed_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through octoDNS's provider, too: Route 53's code is told as a closed account, a refused token is not."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    zone = OctoDnsZone(ZoneSpec("amazon", "route53"), "AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n")
    for code, kind in (("AccountProblem", VendorClosed), ("InvalidClientTokenId", ZoneUnchanged)):
        with answering(403, XML, query(code)) as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_ROUTE_53", url)
            with pytest.raises(kind):
                zone.addresses("plaza.test")


SAID = [
    ("aws", "error: creating EC2 Instance: api error Blocked: This account is currently blocked", "Blocked"),
    ("gcp", "googleapi: Error 403: Consumer 'projects/1' has been suspended. reason: CONSUMER_SUSPENDED", "CONSUMER_SUSPENDED"),
    ("hetzner", "hcloud: The resource is locked. The caller should contact support (resource_locked, 8cf)", "resource_locked"),
]  # fmt: skip


@pytest.mark.parametrize(("stack", "text", "code"), SAID)
def test_the_engine_s_words_for_a_closed_account(stack: str, text: str, code: str) -> None:
    """What a provider prints is told as a closed account, and a word that only contains a code is not."""
    error = translate(text, Site("oak", "acme", stack), "make")
    assert isinstance(error, VendorClosed)
    assert error.code == code
    assert not isinstance(translate("api error RequestBlocked: no", Site("oak", "acme", "aws"), "make"), VendorClosed)


LOOK_UP = """\
    error: an unhandled error occurred: python inline source runtime error: invoke of aws:ec2/getAmi:getAmi failed: \
invocation of aws:ec2/getAmi:getAmi returned an error: {}1 error occurred:
    \t* {}

    Traceback (most recent call last):
"""
"""What AWS's own provider was seen to say, through the engine."""


def test_why_a_look_up_failed_is_said() -> None:
    """A provider writes its reason on the line below; and where it has no credentials, the fleet file is not what is wrong."""
    oak = Site("oak", "acme", "aws")
    nothing = translate(
        LOOK_UP.format("invoking aws:ec2/getAmi:getAmi: ", "Your query returned no results."), oak, "make"
    )
    assert "aws:ec2/getAmi:getAmi" in nothing.what
    assert nothing.why.endswith("1 error occurred: * Your query returned no results.")
    nobody = translate(LOOK_UP.format("", "No valid credential sources found: Please see"), oak, "make")
    assert nobody.what == "oak: at acme the vendor does not take these credentials"
    assert "No valid credential sources found" in nobody.why


def test_requests_own_error_is_read() -> None:
    """A library that only passes requests' error on is read in its answer's body."""

    def ask(url: str) -> None:
        requests.get(url, timeout=60).raise_for_status()

    found = closed("acme", told(ask, 403, XML, "<Error><Code>UserSuspended</Code></Error>"))
    assert found is not None
    assert found.code == "UserSuspended"
