"""What a site's vendor tells beforehand: AWS's interfaces as moto plays them, recorded answers through the others' clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs

import boto3
import pytest
from botocore.model import OperationModel
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import rsa

from resilience.adapters.strangers import strangers
from resilience.adapters.vendor_preflight import preflight
from resilience.errors import ResilienceError, VendorClosed
from resilience.model import Machine, Site
from tests.aws_server import client, empty_server, page_policies

KEYS = {"AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "root"}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """All of AWS, as far as moto plays it: its address."""
    with empty_server() as url:
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
    assert (found["account"][0], found["least rights"][0]) == ("unknown", "unknown")


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


Answers = dict[str, tuple[int, object]]


@contextmanager
def recorded(answers: Answers) -> Iterator[tuple[str, list[str]]]:
    """A vendor that gives each path, or AWS's action, its recorded answer, `*` any other; its address, and what it was asked."""
    asked: list[str] = []

    class Recorded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
            asked.append(self.path)
            path = self.path.split("?")[0].strip("/") or form.get("Action", [""])[0]
            status, said = answers.get(path, answers.get("*", (404, {})))
            body = (
                (said if isinstance(said, str) else json.dumps(said))
                .replace("http://HERE", f"http://{self.headers['Host']}")
                .encode()
            )
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Subject-Token", "t")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the base class's name

        def log_message(self, *_: object) -> None:
            """Nothing on the side."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorded) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def hetzner(status: int, answers: dict[str, object]) -> AbstractContextManager[tuple[str, list[str]]]:
    """Hetzner Cloud, with one status for all it says."""
    return recorded({path: (status, said) for path, said in answers.items()})


SITE = Site("elm", "hetzner", "hetzner", region="fsn1", least=Machine(4, 8, 80))
TOKEN = {"HCLOUD_TOKEN": "t"}
REFUSED = "no answer (unauthorized): the vendor does not take these credentials"
ENDED = pytest.raises(VendorClosed, match="resource_locked")


def test_hetzner_is_asked_for_four_things() -> None:
    """One request each, by name; limits can't be asked, and that is said."""
    answers: dict[str, object] = {
        "servers": {"servers": [], "meta": {"pagination": {"page": 1, "per_page": 1, "total_entries": 3}}},
        "locations": {"locations": [{"id": 1, "name": "fsn1"}]},
        "server_types": {"server_types": [{"id": 2, "name": "cx33"}]},
        "images": {"images": []},
    }
    with hetzner(200, answers) as (url, asked):
        found = outcomes(SITE, TOKEN, url)
    assert found["credentials"] == ("pass", "they open a project with 3 servers")
    assert (found["least rights"][0], "everywhere in its project" in found["least rights"][1]) == ("warn", True)
    assert found["region"] == ("pass", "fsn1 is a location")
    assert found["size"] == ("pass", "cx33 is sold")
    assert found["image"][0] == "fail"
    assert found["quota"][0] == "unknown"
    assert len(asked) == 4


def test_a_refusal_is_unknown_and_a_closed_account_is_said() -> None:
    """A token that is refused tells nothing of regions; a locked resource is the account's end."""
    with hetzner(401, {"*": {"error": {"code": "unauthorized", "message": "no"}}}) as (url, _):
        refused = outcomes(SITE, TOKEN, url)
    assert (refused["credentials"], refused["region"]) == (("fail", REFUSED), ("unknown", REFUSED))
    with hetzner(423, {"*": {"error": {"code": "resource_locked", "message": "support"}}}) as (url, _), ENDED:
        preflight(SITE, TOKEN, url)


def google_key(url: str) -> dict[str, str]:
    """A service account's key, whose tokens this vendor gives out."""
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    )
    key = {
        "type": "service_account",
        "client_email": "s@p.example",
        "token_uri": f"{url}/token",
        "private_key": pem.decode(),
    }
    return {"GOOGLE_PROJECT": "p", "GOOGLE_CREDENTIALS": json.dumps(key)}


def quota(metric: str, limit: float, usage: float) -> dict[str, object]:
    """As Google tells it."""
    return {"metric": metric, "limit": limit, "usage": usage}


FIR = Site("fir", "google", "gcp", region="europe-west3", zone="europe-west3-b")
GOOGLE: Answers = {
    "token": (200, {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}),
    "compute/v1/projects/p": (200, {"name": "p", "creationTimestamp": "2025-03-01T10:00:00.000-07:00"}),
    "v1/projects/p/billingInfo": (200, {"billingEnabled": True, "billingAccountName": "billingAccounts/1"}),
    "v1/projects/p:testIamPermissions": (200, {}),
    "compute/v1/projects/p/regions/europe-west3": (
        200,
        {
            "status": "UP",
            "quotas": [quota("CPUS", 24, 23), quota("STATIC_ADDRESSES", 8, 0), quota("SSD_TOTAL_GB", 500, 0)],
        },
    ),
    "compute/v1/projects/p/zones/europe-west3-b/machineTypes/e2-custom-2-4096": (200, {"name": "e2-custom-2-4096"}),
    "compute/v1/projects/debian-cloud/global/images/family/debian-12": (200, {"name": "debian-12-bookworm-v2"}),
}


def test_google_tells_quotas_billing_and_how_old_the_project_is() -> None:
    """Google's own session, with recorded answers: what is there passes, processors that are used up fail, with what to do."""
    with recorded(GOOGLE) as (url, asked):
        found = {trial.name: trial for trial in preflight(FIR, google_key(url), url)}
    assert {name for name, trial in found.items() if trial.outcome != "pass"} == {"quota of processors"}
    assert found["credentials"].said == "the project was made on 2025-03-01"
    assert found["quota of processors"].said == "24 processors allowed, 23 in use, 2 needed"
    assert "days" in found["quota of processors"].next
    assert len(asked) == 7, "the token, and each thing once"


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        (
            (200, {"permissions": ["resourcemanager.projects.setIamPolicy", "iam.serviceAccounts.actAs"]}),
            "fail",
            "setIam",
        ),
        ((200, {"permissions": ["iam.serviceAccountKeys.create"]}), "warn", "any service account"),
        ((200, {}), "pass", "none of 6"),
        ((403, {"error": {"code": 403, "details": [{"reason": "SERVICE_DISABLED"}]}}), "unknown", "SERVICE_DISABLED"),
    ],
)
def test_google_tells_what_credentials_may_do_to_the_project(
    answer: tuple[int, object], outcome: str, said: str
) -> None:
    """An owner fails, who may make keys of every service account is warned of; where the interface is off nobody knows."""
    with recorded({**GOOGLE, "v1/projects/p:testIamPermissions": answer}) as (url, _):
        found = {t.name: t for t in preflight(FIR, google_key(url), url)}["least rights"]
    assert (found.outcome, said in found.said) == (outcome, True), found
    assert found.next or outcome == "pass"


def test_what_google_refuses_is_said_in_words() -> None:
    """A project without billing, a region that is none, a key that is no key, an expired one, and a suspended project."""
    unbilled: Answers = {**GOOGLE, "v1/projects/p/billingInfo": (200, {"billingEnabled": False})}
    with recorded(unbilled) as (url, _):
        found = {t.name: t for t in preflight(replace(FIR, region="mars-1"), google_key(url), url)}
        broken = {t.name: t for t in preflight(FIR, {"GOOGLE_PROJECT": "p", "GOOGLE_CREDENTIALS": "oops"}, url)}
    assert (found["payments"].outcome, found["region"].outcome) == ("fail", "fail")
    assert "no region mars-1" in found["quota of processors"].said
    assert broken["credentials"].outcome == "fail"
    assert "does not take these credentials" in broken["credentials"].said
    expired: Answers = {"*": (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})}
    with recorded(expired) as (url, _):
        found = {t.name: t for t in preflight(FIR, google_key(url), url)}
    assert (found["credentials"].outcome, found["size"].outcome) == ("fail", "unknown")
    gone = {"error": {"code": 403, "status": "PERMISSION_DENIED", "details": [{"reason": "CONSUMER_SUSPENDED"}]}}
    with (
        recorded({"token": GOOGLE["token"], "*": (403, gone)}) as (url, _),
        pytest.raises(VendorClosed, match="CONSUMER"),
    ):
        preflight(FIR, google_key(url), url)


def service(kind: str) -> dict[str, object]:
    """A service in the catalog, at this very address."""
    where = {"region": "GRA11", "region_id": "GRA11", "interface": "public", "url": f"http://HERE/{kind}", "id": kind}
    return {"type": kind, "name": kind, "id": kind, "endpoints": [where]}


ROWAN = Site("rowan", "ovh", "openstack", region="GRA11", type="b3-8", disk="classic-luks")
CATALOG = [service(kind) for kind in ("compute", "volumev3", "image", "network")]
USER = {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}}
PROJECT = {"id": "pr0ject", "name": "p", "domain": {"id": "default", "name": "Default"}}
LIFE = {"expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z"}
VERSION = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": "http://HERE/v3"}]}
OPENSTACK: Answers = {
    "v3": (200, {"version": VERSION}),
    "v3/auth/tokens": (201, {"token": {**LIFE, "user": USER, "project": PROJECT, "roles": [], "catalog": CATALOG}}),
    "compute/limits": (
        200,
        {
            "limits": {
                "rate": [],
                "absolute": {
                    "maxTotalInstances": 20,
                    "totalInstancesUsed": 20,
                    "maxTotalCores": -1,
                    "totalCoresUsed": 4,
                    "maxTotalRAMSize": 40960,
                    "totalRAMUsed": 8192,
                },
            }
        },
    ),
    "compute/flavors/detail": (200, {"flavors": [{"name": "b3-8", "vcpus": 2, "ram": 8192, "disk": 50}]}),
    "image/v2/images": (200, {"images": [{"name": "Debian 11"}, {"name": "Debian 12"}]}),
    "volumev3/types": (200, {"volume_types": [{"name": "classic"}, {"name": "classic-luks"}]}),
    "volumev3/volumes/detail": (200, {"volumes": [{"volume_type": "classic-luks", "encrypted": True}]}),
    "volumev3/limits": (200, {"limits": {"absolute": {"maxTotalVolumeGigabytes": 100, "totalGigabytesUsed": 90}}}),
    "network/v2.0/quotas/pr0ject/details.json": (
        200,
        {"quota": {"floatingip": {"limit": 5, "used": 0, "reserved": 0}}},
    ),
}


def openstack(url: str) -> dict[str, str]:
    """Credentials that this vendor takes."""
    names = ("OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET")
    return {"OS_AUTH_URL": f"{url}/v3", **dict.fromkeys(names, "x")}


def test_openstack_tells_quotas_and_whether_volumes_are_encrypted() -> None:
    """OpenStack's own session, with recorded answers: instances and room for the volume are used up, all else is there."""
    with recorded(OPENSTACK) as (url, _):
        found = {t.name: t for t in preflight(ROWAN, openstack(url))}
        own = {t.name: t for t in preflight(replace(ROWAN, network="10.20.0.0/24", disk=""), openstack(url))}
    failed = {name for name, trial in found.items() if trial.outcome == "fail"}
    assert failed == {"quota of instances", "quota of volumes"}
    assert found["credentials"].said == "they open project pr0ject"
    assert found["quota of processors"].said == "no limit of processors"
    assert found["disk"].said == "classic-luks is there, and its volumes say that they are encrypted"
    assert found["account"].outcome == "unknown"
    assert own["quota of addresses"].said == "5 floating addresses allowed, 0 in use, 1 needed"


@pytest.mark.parametrize(
    ("roles", "credential", "outcome"),
    [
        (["member"], {"id": "x", "restricted": True}, "pass"),
        (["member", "admin"], {"id": "x", "restricted": True}, "fail"),
        (["member"], {"id": "x", "restricted": False}, "fail"),
        (["member"], None, "unknown"),
        (["compute_operator"], {"id": "x", "restricted": True}, "unknown"),
        ([], {"id": "x", "restricted": True}, "unknown"),
    ],
)
def test_openstack_tells_roles(roles: list[str], credential: dict[str, object] | None, outcome: str) -> None:
    """An administrator and a credential that makes others fail; a vendor's own roles, or none told, are unknown."""
    token = {
        **LIFE,
        "user": USER,
        "project": PROJECT,
        "catalog": CATALOG,
        "roles": [{"id": r, "name": r} for r in roles],
    }
    token |= {"application_credential": credential} if credential else {}
    with recorded({**OPENSTACK, "v3/auth/tokens": (201, {"token": token})}) as (url, _):
        found = {t.name: t for t in preflight(ROWAN, openstack(url))}["least rights"]
    assert found.outcome == outcome, found


def test_what_openstack_refuses_is_said_in_words() -> None:
    """An unknown flavor, image, region and kind of disk; volumes that are in clear; an application credential that ended."""
    clear: Answers = {**OPENSTACK, "volumev3/volumes/detail": (200, {"volumes": [{"volume_type": "classic"}]})}
    with recorded(clear) as (url, _):
        site = replace(ROWAN, type="b9", image="Debian 7", disk="classic")
        found = {t.name: t for t in preflight(site, openstack(url))}
        nowhere = {t.name: t for t in preflight(replace(ROWAN, region="MARS1"), openstack(url))}
    assert {found[name].outcome for name in ("size", "image", "disk")} == {"fail"}
    assert "not encrypted" in found["disk"].said
    assert (nowhere["credentials"].outcome, nowhere["region"].outcome) == ("pass", "unknown")
    assert "EndpointNotFound" in nowhere["region"].said
    ended = {"error": {"code": 401, "title": "Unauthorized", "message": "The application credential has expired."}}
    with recorded({**OPENSTACK, "v3/auth/tokens": (401, ended)}) as (url, _):
        found = {t.name: t for t in preflight(ROWAN, openstack(url))}
    assert found["credentials"].outcome == "fail"
    assert "expired" in found["credentials"].said


def test_aws_tells_how_old_the_account_is_where_it_may_be_asked() -> None:
    """Recorded answers through boto3: a date and a state; a suspended one fails; a refusal names the right that lacks."""
    told = {"AccountId": "1", "AccountName": "a", "AccountCreatedDate": "2024-02-01T00:00:00Z"}
    for state, outcome in (("ACTIVE", "pass"), ("SUSPENDED", "fail")):
        with recorded({"getAccountInformation": (200, {**told, "AccountState": state})}) as (url, _):
            found = {t.name: t for t in preflight(Site("oak", "amazon", "aws", region="us-east-1"), KEYS, url)}
        assert (found["account"].outcome, "2024-02-01" in found["account"].said) == (outcome, True)
    with recorded({"getAccountInformation": (403, {"code": "AccessDeniedException", "message": "no"})}) as (url, _):
        found = {t.name: t for t in preflight(Site("oak", "amazon", "aws", region="us-east-1"), KEYS, url)}
    assert (found["account"].outcome, found["payments"].outcome) == ("unknown", "unknown")
    assert "lack a right" in found["account"].said


SIMULATED = "iam:CreateUser", "iam:PutUserPolicy"


def caller(arn: str) -> tuple[int, str]:
    """How STS says who asks."""
    told = f"<Arn>arn:aws:{arn}</Arn><UserId>u</UserId><Account>123456789012</Account>"
    said = f"<GetCallerIdentityResult>{told}</GetCallerIdentityResult>"
    return 200, f"<GetCallerIdentityResponse>{said}</GetCallerIdentityResponse>"


def simulator(decision: str) -> tuple[int, str]:
    """How IAM's simulator says what would be allowed."""
    each = "".join(
        f"<member><EvalActionName>{name}</EvalActionName><EvalDecision>{decision}</EvalDecision></member>"
        for name in SIMULATED
    )
    result = (
        f"<SimulatePrincipalPolicyResult><EvaluationResults>{each}</EvaluationResults></SimulatePrincipalPolicyResult>"
    )
    return 200, f"<SimulatePrincipalPolicyResponse>{result}</SimulatePrincipalPolicyResponse>"


DENIED = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
)


@pytest.mark.parametrize(
    ("arn", "simulated", "outcome", "said"),
    [
        ("iam::123456789012:root", simulator("implicitDeny"), "fail", "root"),
        ("iam::123456789012:user/operator", simulator("allowed"), "fail", "iam:CreateUser, iam:PutUserPolicy"),
        ("iam::123456789012:user/operator", simulator("implicitDeny"), "pass", "none of 9"),
        ("iam::123456789012:user/operator", (403, DENIED), "unknown", "AccessDenied"),
        ("sts::123456789012:assumed-role/admin/me", simulator("implicitDeny"), "unknown", "assumed-role"),
    ],
)
def test_aws_tells_whether_a_key_may_too_much(arn: str, simulated: tuple[int, str], outcome: str, said: str) -> None:
    """Root fails; a user may ask the simulator about itself, and what could make an administrator fails; else nobody knows."""
    answers: Answers = {"GetCallerIdentity": caller(arn), "SimulatePrincipalPolicy": simulated}
    with recorded(answers) as (url, _):
        found = {t.name: t for t in preflight(Site("oak", "amazon", "aws", region="us-east-1"), KEYS, url)}
    assert found["credentials"].outcome == "pass"
    assert (found["least rights"].outcome, said in found["least rights"].said) == (outcome, True), found["least rights"]
    assert found["least rights"].next or outcome == "pass"


def test_every_right_that_check_needs_at_aws_is_in_the_page(aws: str) -> None:
    """What is asked of AWS, as its own client tells it, is allowed by the policy that the page gives."""
    asked: set[str] = set()
    boto3.setup_default_session()

    def noted(model: OperationModel, **_: object) -> None:
        asked.add(f"{model.service_model.signing_name}:{model.name}")

    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("before-call", noted)
    try:
        oak = Site("oak", "amazon", "aws", region="us-east-1")
        preflight(oak, KEYS, aws)
        with recorded({"GetCallerIdentity": caller("iam::123456789012:user/operator")}) as (url, _):
            preflight(oak, KEYS, url)
        strangers(oak, "plaza", KEYS, frozenset(), aws)
    finally:
        boto3.setup_default_session()
    assert {"iam:SimulatePrincipalPolicy", "account:GetAccountInformation", "ec2:DescribeInstances"} <= asked
    allowed = [one for part in page_policies()["operator"]["Statement"] for one in part["Action"]]
    free = {"sts:GetCallerIdentity"}  # nobody can be refused that
    assert {one for one in asked - free if not any(fnmatchcase(one, pattern) for pattern in allowed)} == set()


def test_what_a_killed_run_left_is_found_by_its_marks(aws: str) -> None:
    """At each vendor the host of this fleet and site that no state knows, and none of another site or that the state has."""
    ec2, oak = client("ec2", aws), Site("oak", "amazon", "aws", region="us-east-1")
    made = []
    for site in ("oak", "oak", "elm"):
        tags = [{"Key": "fleet", "Value": "plaza"}, {"Key": "site", "Value": site}]
        marks = [{"ResourceType": "instance", "Tags": tags}]
        found = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, TagSpecifications=marks)
        made.append(found["Instances"][0]["InstanceId"])
    assert strangers(oak, "plaza", KEYS, frozenset({made[0]}), aws) == (made[1],)
    ec2.terminate_instances(InstanceIds=made)
    assert strangers(oak, "plaza", KEYS, frozenset(), aws) == ()
    servers = [
        {"id": "s1", "metadata": {"fleet": "plaza", "site": "rowan"}},
        {"id": "s2", "metadata": {"fleet": "plaza", "site": "elm"}},
    ]
    with recorded({**OPENSTACK, "compute/servers/detail": (200, {"servers": servers})}) as (url, _):
        assert strangers(ROWAN, "plaza", openstack(url), frozenset()) == ("s1",)
    google: Answers = {
        **GOOGLE,
        "compute/v1/projects/p/zones/europe-west3-b/instances": (200, {"items": [{"name": "x"}]}),
    }
    with recorded(google) as (url, asked):
        assert strangers(FIR, "plaza", google_key(url), frozenset(), url) == (
            "projects/p/zones/europe-west3-b/instances/x",
        )
    assert "labels.fleet=plaza" in asked[-1]
    with hetzner(200, {"servers": {"servers": []}}) as (url, asked):
        assert strangers(SITE, "plaza", TOKEN, frozenset(), url) == ()
    assert "label_selector=fleet%3Dplaza%2Csite%3Delm" in asked[-1]
    with recorded({"*": (503, {})}) as (url, _), pytest.raises(ResilienceError, match="is not known"):
        strangers(ROWAN, "plaza", openstack(url), frozenset())


def test_a_vendor_that_nobody_asks_is_said() -> None:
    """A rack has no interface to ask."""
    with pytest.raises(ResilienceError, match="not asked"):
        preflight(Site("oak", "rack", "baremetal"), {})
