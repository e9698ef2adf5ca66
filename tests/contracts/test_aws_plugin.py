"""AWS's own provider, where its plugin is installed: the real engine and resources, against moto on loopback."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from resilience.adapters import pulumi_vault
from resilience.adapters.pulumi import Backend, PulumiCloud, has_plugin
from resilience.adapters.pulumi_errors import StackFailed
from resilience.adapters.pulumi_orphans import _processes_on, end_orphans
from resilience.model import Site, VaultSpec
from resilience.model.rights import PRINCIPALS
from tests.aws_server import REGION, account, client, empty_server, image

OPERATOR = "192.0.2.7/32"
OUR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIXEBw1gD7YKdZaOjiNkmXffvUe1Zf22hWqmIqXxoz7a us"


@dataclass
class Emulated:
    """An empty account, and the engine that works in it."""

    url: str
    cloud: PulumiCloud

    def ask(self, service: str, question: str, **about: Any) -> Any:
        """What the account holds, by AWS's own client."""
        return getattr(client(service, self.url), question)(**about)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Emulated]:
    """AWS as moto plays it."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct-horse-battery")
    with empty_server() as url:
        backend = Backend(tmp_path / "state", passphrase)
        there = PulumiCloud(backend, OUR_KEY, fleet="plaza", operators=(OPERATOR,), credentials=lambda: account(url))
        yield Emulated(url, there)


if has_plugin("aws"):

    def test_the_account_holds_what_the_site_says(aws: Emulated) -> None:
        """One host with an encrypted disk and guarded metadata, nothing open but what is named; gone again, nothing stays."""
        before = {one["VpcId"] for one in aws.ask("ec2", "describe_vpcs")["Vpcs"]}
        site = Site("oak", "acme", "aws", region=REGION, type="t3.small", image=image(aws.url))
        made = aws.cloud.up(site)
        [reserved] = aws.ask("ec2", "describe_instances")["Reservations"]
        [host] = reserved["Instances"]
        assert (host["InstanceType"], host["MetadataOptions"]["HttpTokens"]) == ("t3.small", "required")
        assert {tag["Key"]: tag["Value"] for tag in host["Tags"]}["fleet"] == "plaza"
        [disk] = aws.ask("ec2", "describe_volumes")["Volumes"]
        assert (disk["Encrypted"], disk["VolumeType"]) == (True, "gp3")
        [address] = aws.ask("ec2", "describe_addresses")["Addresses"]
        assert (address["PublicIp"], address["InstanceId"]) == (made.addresses[0], host["InstanceId"])
        assert opened(aws, host) == {(22, OPERATOR), (80, "0.0.0.0/0"), (443, "0.0.0.0/0"), (80, "::/0"), (443, "::/0")}
        aws.cloud.down(site)
        assert aws.ask("ec2", "describe_addresses")["Addresses"] == []
        assert {one["VpcId"] for one in aws.ask("ec2", "describe_vpcs")["Vpcs"]} == before

    def test_the_provider_does_not_outlive_a_killed_engine(aws: Emulated) -> None:
        """`kill -9` of the engine leaves the vendor's plugin alive, with credentials in its environment: the next run ends it."""
        site = Site("oak", "acme", "aws", region=REGION, type="t3.small", image=image(aws.url))
        with ThreadPoolExecutor(1) as pool:
            making = pool.submit(aws.cloud.up, site)
            while not (providers := [pid for pid, one in at_work(aws).items() if b"pulumi-resource-aws" in one]):
                assert not making.done(), making.exception()
                time.sleep(0.05)
            [engine] = [pid for pid, one in at_work(aws).items() if one.partition(b"\0")[0].endswith(b"/pulumi")]
            os.kill(engine, signal.SIGKILL)
            assert isinstance(making.exception(), StackFailed)
        assert set(providers) <= set(at_work(aws)), "it ended by itself, and nobody need end it"
        assert set(providers) <= set(end_orphans(aws.cloud.backend.url))

    def test_a_vault_is_a_closed_bucket_and_its_principals(aws: Emulated) -> None:
        """Versions, encryption, no public way in; each principal's key is one that IAM knows; made again, nothing changes."""
        spec = VaultSpec("elm", "acme", "s3", aws.url, "plaza-elm", REGION, "aws", lock_days=1)
        made = pulumi_vault.make(aws.cloud, spec)
        assert set(made) == set(PRINCIPALS)
        assert aws.ask("s3", "get_bucket_versioning", Bucket="plaza-elm")["Status"] == "Enabled"
        assert locked(aws) == ("COMPLIANCE", 1)
        closed = aws.ask("s3", "get_public_access_block", Bucket="plaza-elm")["PublicAccessBlockConfiguration"]
        assert all(closed.values())
        assert "aws:SecureTransport" in aws.ask("s3", "get_bucket_policy", Bucket="plaza-elm")["Policy"]
        users = aws.ask("iam", "list_users")["Users"]
        keys = [aws.ask("iam", "list_access_keys", UserName=user["UserName"])["AccessKeyMetadata"] for user in users]
        assert {one["AccessKeyId"] for key in keys for one in key} == {keys["access_key_id"] for keys in made.values()}
        assert pulumi_vault.make(aws.cloud, spec) == made

    def test_a_vault_at_any_s3_keeps_every_version(aws: Emulated) -> None:
        """Asked at an address of its own, with no account behind it that could be asked who we are."""
        spec = VaultSpec("elm", "box", "s3", aws.url, "plaza-elm", "eu-central-1", "s3", lock_days=1)
        assert pulumi_vault.make(aws.cloud, spec) == {}
        assert aws.ask("s3", "get_bucket_versioning", Bucket="plaza-elm")["Status"] == "Enabled"
        assert locked(aws) == ("COMPLIANCE", 1)


def at_work(aws: Emulated) -> dict[int, bytes]:
    """Processes that work on this state, and what they are called."""
    return {pid: one.command for pid, one in _processes_on(aws.cloud.backend.url).items()}


def locked(aws: Emulated) -> tuple[str, int]:
    """How and for how many days the vault's bucket keeps each version."""
    told = aws.ask("s3", "get_object_lock_configuration", Bucket="plaza-elm")["ObjectLockConfiguration"]
    kept = told["Rule"]["DefaultRetention"]
    return kept["Mode"], kept["Days"]


def opened(aws: Emulated, host: dict[str, Any]) -> set[tuple[int, str]]:
    """Ports of a host, and who may come in by them."""
    groups = [one["GroupId"] for one in host["SecurityGroups"]]
    rules = [
        rule
        for group in aws.ask("ec2", "describe_security_groups", GroupIds=groups)["SecurityGroups"]
        for rule in group["IpPermissions"]
    ]
    named = [(rule["FromPort"], one["CidrIp"]) for rule in rules for one in rule["IpRanges"]]
    return {*named, *((rule["FromPort"], one["CidrIpv6"]) for rule in rules for one in rule["Ipv6Ranges"])}
