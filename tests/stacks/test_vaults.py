"""Vaults' stacks: what is asked of each vendor, and rights that are those of the threat model's table, tried."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pulumi.runtime.mocks import MockResourceArgs

from resilience.adapters.kit import Kit
from resilience.model.rights import PRINCIPALS, may
from resilience.wire import Home, holds_copies
from stacks.contract import Unfit
from stacks.program import VAULTS, component
from stacks.vault_contract import VaultArgs
from stacks.vault_policies import aws_bucket_policy, aws_policy, gcp_bindings
from tests.aws_server import aws_server, client, page_policies
from tests.stacks.vendors import Asked, Made, Vendor, is_secret, run
from tests.vault_servers import Store

BUCKET = "plaza-elm"
BOUNDARY = "arn:aws:iam::123456789012:policy/resilience-vault"
ARGS: Mapping[str, VaultArgs] = {
    "aws-vault": VaultArgs("elm", "aws-account", BUCKET, "eu-north-1", "plaza", lock_days=14, boundary=BOUNDARY),
    "gcp-vault": VaultArgs("elm", "gcp-account", BUCKET, "europe-north1", "plaza", lock_days=14),
    "s3-vault": VaultArgs("elm", "box", BUCKET, "fr-par", "plaza", "https://s3.example.net", lock_days=14),
}
KEYS = (
    "wal/00000001/0000000001000000",
    "wal/00000001/start",
    "wal/00000001/start-00000001",
    "media/ab/cd",
    "ledger/00000001/1",
    "label/x.json",
    "epoch/00000001.json",
    "state/oak/1.json",
    "supplies/a.tar",
    "restic/00000001/config",
    "restic/00000001/keys/aa",
    "restic/00000001/data/aa/bb",
    "restic/00000001/index/cc",
    "restic/00000001/snapshots/dd",
    "restic/00000001/locks/ee",
    "standby/00000001/config",
    "standby/00000001/keys/aa",
    "standby/00000001/data/aa/bb",
    "standby/00000001/index/cc",
    "standby/00000001/locks/ee",
)


def make_vault(kind: str, args: VaultArgs | None = None) -> Made:
    """A vault of this kind, made against mocks."""

    def program() -> Mapping[str, Any]:
        made = component(kind)(args or ARGS[kind])
        return {"bucket": made.bucket_name, "credentials": made.credentials}

    return run(program)


@pytest.fixture(scope="module")
def vaults() -> dict[str, Made]:
    """Each kind, made once."""
    return {kind: make_vault(kind) for kind in VAULTS}


class Taken(Vendor):
    """A vendor at which the bucket's name is somebody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[Any, Any]]:
        """Refuse the bucket, make all else."""
        if args.typ.endswith(":Bucket"):
            raise LookupError("BucketAlreadyExists: The requested bucket name is not available.")
        self.made.append(args.typ)
        return super().new_resource(args)


@pytest.mark.parametrize("kind", VAULTS)
def test_a_bucket_that_is_somebody_elses_ends_it_first(kind: str) -> None:
    """Nobody's user, key or right is made for a bucket that could not be had."""
    vendor = Taken()
    with pytest.raises(Exception, match="Bucket"):
        run(lambda: {"bucket": component(kind)(ARGS[kind]).bucket_name}, vendor)
    ours = ("resilience:vault:", "pulumi:providers:")
    assert [made for made in vendor.made if not made.startswith(ours)] == []


def _bucket(made: Made) -> Asked:
    (bucket,) = made.of("Bucket")
    return bucket


@pytest.mark.parametrize("kind", VAULTS)
def test_copies_outlive_the_stack(vaults: dict[str, Made], kind: str) -> None:
    """Destroying a vault's stack leaves its bucket, and nothing may empty it on the way."""
    assert set(ARGS) == set(VAULTS)
    bucket = _bucket(vaults[kind])
    assert bucket.kept
    assert not bucket.inputs.get("forceDestroy")
    assert vaults[kind].outputs["bucket"] == BUCKET


def test_the_bucket_at_aws_is_closed_and_keeps_everything(vaults: dict[str, Made]) -> None:
    """Public to nobody, encrypted, every version kept, and locked against everybody for the days declared."""
    made = vaults["aws-vault"]
    (block,), (versions,), (lock,), (sealed,) = (
        made.of("BucketPublicAccessBlock"),
        made.of("BucketVersioning"),
        made.of("BucketObjectLockConfiguration"),
        made.of("BucketServerSideEncryptionConfiguration"),
    )
    switches = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    assert all(block.inputs[switch] is True for switch in switches)
    assert versions.inputs["versioningConfiguration"]["status"] == "Enabled"
    assert lock.inputs["rule"]["defaultRetention"] == {"mode": "COMPLIANCE", "days": 14}
    assert sealed.inputs["rules"][0]["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "AES256"
    assert _bucket(made).inputs["objectLockEnabled"] is True
    (policy,) = made.of("BucketPolicy")
    assert {one["Effect"] for one in json.loads(policy.inputs["policy"])["Statement"]} == {"Deny"}


def test_the_bucket_at_google_is_closed_and_keeps_everything(vaults: dict[str, Made]) -> None:
    """Public access is prevented, rights are the bucket's alone, and what was deleted stays for the days declared."""
    bucket = _bucket(vaults["gcp-vault"]).inputs
    assert bucket["publicAccessPrevention"] == "enforced"
    assert bucket["uniformBucketLevelAccess"] is True
    assert bucket["versioning"]["enabled"] is True
    assert bucket["softDeletePolicy"]["retentionDurationSeconds"] == 14 * 86400
    members = {one.inputs["member"] for one in vaults["gcp-vault"].of("BucketIAMMember")}
    assert not members & {"allUsers", "allAuthenticatedUsers"}


def test_the_bucket_at_any_other_keeps_everything(vaults: dict[str, Made]) -> None:
    """Versions and a lock, asked of the vendor's own door; credentials are not among what is declared."""
    made = vaults["s3-vault"]
    (provider,) = [one for one in made.asked if one.type.startswith("pulumi:providers:")]
    assert "https://s3.example.net" in str(provider.inputs["endpoints"])
    assert not {"accessKey", "secretKey", "token"} & set(provider.inputs)
    assert made.of("BucketVersioning")[0].inputs["versioningConfiguration"]["status"] == "Enabled"
    assert made.outputs["credentials"] == {}


@pytest.mark.parametrize("kind", ["aws-vault", "gcp-vault"])
def test_keys_are_secrets(vaults: dict[str, Made], kind: str) -> None:
    """What opens the vault is marked secret, so that a state holds it encrypted only."""
    keys = vaults[kind].of("AccessKey", "Key")
    assert len(keys) == len(PRINCIPALS)
    assert all({"secret", "privateKey"} & set(key.secret_outputs) for key in keys)
    credentials = vaults[kind].outputs["credentials"]
    assert set(credentials) == set(PRINCIPALS)
    fields = {"aws-vault": {"access_key_id", "secret_access_key"}, "gcp-vault": {"service_account"}}
    assert all(set(held) == fields[kind] and all(held.values()) for held in credentials.values())
    assert not [one for one in vaults[kind].asked if any(is_secret(value) for value in one.inputs.values())]


def test_no_user_at_aws_is_made_without_its_boundary(vaults: dict[str, Made]) -> None:
    """The policy that the fleet file names bounds each of them; where it names none, nothing of the kind is asked for."""
    users = vaults["aws-vault"].of("User")
    assert {one.inputs["permissionsBoundary"] for one in users} == {BOUNDARY}
    assert len(users) == len(PRINCIPALS)
    bare = make_vault("aws-vault", replace(ARGS["aws-vault"], boundary=""))
    assert not any(one.inputs.get("permissionsBoundary") for one in bare.of("User"))


GIVES_RIGHTS = ("iam:CreateUser", "iam:PutUserPolicy", "iam:PutUserPermissionsBoundary")


def test_the_page_s_policy_makes_no_administrator() -> None:
    """What gives a user rights is allowed with the boundary alone; nothing takes it off, changes it, or acts beyond the path."""
    bounded = {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}}
    for part in page_policies()["operator"]["Statement"]:
        gives = [one for one in part["Action"] if one in GIVES_RIGHTS]
        assert not gives or part["Condition"] == bounded, part
        for one in (one for one in part["Action"] if one.startswith("iam:")):
            assert "*" not in one.removesuffix("*").replace("iam:List*", ""), one
            assert not one.startswith(
                ("iam:Attach", "iam:Add", "iam:Pass", "iam:Update", "iam:CreateP", "iam:CreateR", "iam:Set")
            )
            assert one not in {"iam:DeleteUserPermissionsBoundary", "iam:CreateLoginProfile", "iam:*"}
            own = "arn:aws:iam::123456789012:user/resilience-operator"
            of = own if one == "iam:SimulatePrincipalPolicy" else "arn:aws:iam::123456789012:user/resilience/*"
            assert part["Resource"] == of, one


def test_the_boundary_lets_principals_do_what_they_must_and_no_more() -> None:
    """Every right of every principal is within it, at this bucket alone; nothing of it is a right in the account."""
    (part,) = page_policies()["boundary"]["Statement"]
    assert part["Resource"] == ["arn:aws:s3:::plaza-elm-7f3a", "arn:aws:s3:::plaza-elm-7f3a/*"]
    wanted = {
        one for who in PRINCIPALS for each in json.loads(aws_policy(who, BUCKET))["Statement"] for one in each["Action"]
    }
    assert set(part["Action"]) == wanted


def test_without_a_lock_none_is_asked_for() -> None:
    """`lock_days = 0` is a bucket that the operator can empty; at Google, days it does not know are refused."""
    made = make_vault("aws-vault", replace(ARGS["aws-vault"], lock_days=0))
    assert made.of("BucketObjectLockConfiguration") == []
    assert _bucket(made).inputs["objectLockEnabled"] is False
    with pytest.raises(Unfit, match="7 to 90"):
        make_vault("gcp-vault", replace(ARGS["gcp-vault"], lock_days=3))


# ── rights, tried ──


@pytest.fixture(scope="module")
def aws() -> Iterator[Store]:
    """AWS with a bucket that holds one object of each kind, and the principals."""
    with aws_server(BUCKET) as store:
        for key in KEYS:
            client("s3", store.endpoint, store.credentials["operator"]).put_object(Bucket=BUCKET, Key=key, Body=b"x")
        yield store


def _allowed(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"AccessDenied", "403"}:
            raise
        return False
    return True


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_rights_at_aws_are_the_tables(aws: Store, principal: str) -> None:
    """Every principal tries to create, read and remove one object of every kind: what the table refuses is refused."""
    s3 = client("s3", aws.endpoint, aws.credentials[principal])
    for key in KEYS:
        fresh = key if key.endswith(("/config", "/start", "/start-00000001")) else f"{key}-{principal}"
        tried = {
            "read": _allowed(lambda key=key: s3.get_object(Bucket=BUCKET, Key=key)),  # type: ignore[misc]
            "create": _allowed(lambda key=fresh: s3.put_object(Bucket=BUCKET, Key=key, Body=b"y")),  # type: ignore[misc]
            "remove": _allowed(lambda key=fresh: s3.delete_object(Bucket=BUCKET, Key=key)),  # type: ignore[misc]
        }
        assert tried == {verb: may(principal, verb, key) for verb in tried}, (principal, key)
        client("s3", aws.endpoint, aws.credentials["operator"]).put_object(Bucket=BUCKET, Key=key, Body=b"x")


def test_a_vault_with_an_epoch_in_it_is_not_new(aws: Store, tmp_path: Path) -> None:
    """On a machine with no journal, what lies in the vault tells; without credentials there, nobody can."""
    home = Home(tmp_path / "fleet.toml")
    home.file.write_bytes((Path(__file__).resolve().parents[2] / "examples/hobby.toml").read_bytes())
    vault = replace(aws.spec(BUCKET), name=home.load().sealing[0].name)
    assert holds_copies(home, vault) == ""
    Kit(home.kit()).keep_vault(vault.name, {who: dict(keys) for who, keys in aws.credentials.items()})
    assert holds_copies(home, vault) == "In it lies epoch/00000001.json."


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_nobody_weakens_the_bucket(aws: Store, principal: str) -> None:
    """Not even the operator's principal stops versions, lifts the lock, opens the bucket, or makes another principal."""
    s3 = client("s3", aws.endpoint, aws.credentials[principal])
    iam = client("iam", aws.endpoint, aws.credentials[principal])
    for attempt in (
        lambda: s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}),
        lambda: s3.put_bucket_policy(Bucket=BUCKET, Policy=aws_bucket_policy(BUCKET)),
        lambda: s3.delete_bucket(Bucket=BUCKET),
        lambda: s3.create_bucket(Bucket="another"),
        lambda: iam.create_user(UserName="friend"),
    ):
        assert not _allowed(attempt)


def test_put_only_means_once_only() -> None:
    """At AWS a create without `If-None-Match` is none of ship's rights; moto reads no conditions, so ours is read here."""
    (creates,) = [one for one in json.loads(aws_policy("ship", BUCKET))["Statement"] if one["Sid"] == "CreatesOnce"]
    assert creates["Condition"] == {"Null": {"s3:if-none-match": "false"}}
    assert "s3:BypassGovernanceRetention" not in aws_policy("operator", BUCKET)
    assert '"*"' not in aws_policy("operator", BUCKET)


ROLES = {
    "roles/storage.objectCreator": {"create"},
    "roles/storage.objectViewer": {"read"},
    "roles/storage.objectUser": {"create", "read", "remove"},
    "roles/storage.objectAdmin": {"create", "read", "remove"},
}


def _holds(condition: str, name: str) -> bool:
    """A condition in Google's language, as Python reads it."""
    said = condition.replace("&&", " and ").replace("||", " or ")
    said = said.replace("resource.name.startsWith", "name.startswith").replace(
        "resource.name.endsWith", "name.endswith"
    )
    said = said.replace("resource.name.extract", "extract").replace("resource.type", "kind")

    def extract(template: str) -> str:
        before, _, after = re.split(r"\{(\w+)\}", template)
        if not name.startswith(before) or after not in name[len(before) :]:
            return ""
        return name[len(before) :].partition(after)[0]

    return bool(eval(said, {}, {"name": name, "extract": extract, "kind": "storage.googleapis.com/Object"}))  # noqa: S307


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_rights_at_google_are_the_tables(principal: str) -> None:
    """What roles and conditions together allow on each kind of object is what the table allows."""
    bindings = gcp_bindings(principal, BUCKET).values()
    for key in KEYS:
        name = f"projects/_/buckets/{BUCKET}/objects/{key}"
        granted = {verb for role, when in bindings if not when or _holds(when, name) for verb in ROLES[role]}
        expected = {verb for verb in ("create", "read", "remove") if may(principal, verb, key)}
        assert granted == expected, (principal, key)


def test_conditions_stay_within_googles_limit() -> None:
    """A condition may have twelve operators; ours have fewer."""
    for _, when in (*gcp_bindings("ship", BUCKET).values(), *gcp_bindings("standby", BUCKET).values()):
        assert when.count("||") + when.count("&&") < 12
