"""The lab's dynamic providers, asked directly: what they call, what they refuse, what they never hold."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from pulumi.dynamic import CreateResult, ReadResult
from pulumi.dynamic.dynamic import serialize_provider

from resilience.lab.host import public_key
from stacks.account_api import TOKEN as VARIABLE
from stacks.account_api import ApiRefused, BucketProvider, HostKeyProvider, HostProvider, refusal
from tests.account_server import TOKEN, Vendor, account_server


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A vendor, and its token in the environment."""
    monkeypatch.setenv(VARIABLE, TOKEN)
    with account_server() as found:
        yield found


def _wanted(vendor: Vendor) -> dict[str, str]:
    return {
        "account": vendor.url,
        "name": "acorn-1",
        "size": "small",
        "authorized_key": "ssh-ed25519 AAAA us",
        "host_key_private": "private half",
        "host_key": "ssh-ed25519 BBBB",
    }


def _outs(result: CreateResult | ReadResult) -> dict[str, Any]:
    assert result.outs is not None
    return result.outs


def test_a_host_is_made_read_and_given_back(vendor: Vendor) -> None:
    """Create, read and delete go to the account API, in its own words."""
    provider = HostProvider()
    made = provider.create(_wanted(vendor))
    read = provider.read(made.id, _outs(made))
    provider.delete(made.id, _outs(made))
    assert _outs(read)["address"] == _outs(made)["address"] == "198.18.1.100"
    assert vendor.calls == ["POST /v1/hosts", f"GET /v1/hosts/{made.id}", f"DELETE /v1/hosts/{made.id}"]
    assert vendor.hosts == {}


def test_the_private_half_is_not_among_the_outputs(vendor: Vendor) -> None:
    """What a host's resource shows afterwards does not hold its private key."""
    made = HostProvider().create(_wanted(vendor))
    assert "private half" not in str(made.outs)


def test_making_a_host_again_gives_the_same(vendor: Vendor) -> None:
    """A run that died before it wrote the state asks again, and gets that host."""
    first = HostProvider().create(_wanted(vendor))
    assert HostProvider().create(_wanted(vendor)).id == first.id
    assert len(vendor.hosts) == 1


def test_a_host_that_is_gone_is_no_error_to_delete(vendor: Vendor) -> None:
    """Deleting what the vendor does not know any more ends well; other refusals do not."""
    HostProvider().delete("i-404", {"account": vendor.url})
    vendor.refusal = (403, "application/json", '{"error": {"code": "Blocked"}}')
    with pytest.raises(ApiRefused, match="code=Blocked"):
        HostProvider().delete("i-404", {"account": vendor.url})


@pytest.mark.parametrize(
    ("change", "replaced"),
    [
        ({}, []),
        ({"size": "large"}, []),
        ({"authorized_key": "ssh-ed25519 CCCC"}, []),
        ({"host_key": "ssh-ed25519 DDDD"}, ["host_key"]),
        ({"account": "http://elsewhere"}, ["account"]),
    ],
)
def test_only_another_identity_replaces_a_host(vendor: Vendor, change: dict[str, str], replaced: list[str]) -> None:
    """A changed size or login key never destroys a live host; another identity is another host."""
    old = _wanted(vendor)
    found = HostProvider().diff("i-1", old, {**old, **change})
    assert (found.changes, found.replaces) == (bool(replaced), replaced)


def test_a_host_key_is_a_pair_and_stays(vendor: Vendor) -> None:
    """The public half belongs to the private one, two keys differ, and none is ever replaced."""
    assert vendor.calls == []
    one, two = (_outs(HostKeyProvider().create({})) for _ in range(2))
    assert public_key(one["private"]) == one["public"] != two["public"]
    assert HostKeyProvider().diff("key", one, {}).changes is False


def test_a_bucket_may_be_asked_for_twice(vendor: Vendor) -> None:
    """Making a bucket again is no error."""
    for _ in range(2):
        BucketProvider().create({"account": vendor.url, "name": "plaza"})
    assert vendor.buckets == {"plaza"}


def test_without_a_token_nobody_is_called(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token in the environment: said, and no call goes out."""
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ApiRefused, match=VARIABLE):
        HostProvider().create(_wanted(vendor))
    assert vendor.calls == []


@pytest.mark.parametrize("provider", [HostProvider(), HostKeyProvider(), BucketProvider()])
def test_what_goes_into_the_state_is_a_reference(vendor: Vendor, provider: object) -> None:
    """The serialized provider names its class, and holds neither code nor token."""
    assert vendor.url
    serialized = base64.b64decode(serialize_provider(provider))
    assert len(serialized) < 200
    assert b"stacks.account_api" in serialized
    assert TOKEN.encode() not in serialized


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('{"error": {"code": "Blocked", "message": "m"}}', "Blocked"),
        ('{"error": {"code": 403, "status": "PERMISSION_DENIED", "details": [{"reason": "CONSUMER_SUSPENDED"}]}}',
         "PERMISSION_DENIED,CONSUMER_SUSPENDED"),
        ("<Error><Code>UserSuspended</Code></Error>", "UserSuspended"),
        ("<html>403</html>", "none"),
        ("", "none"),
    ],
)  # fmt: skip
def test_every_code_of_a_refusal_is_kept(text: str, codes: str) -> None:
    """Whatever form a refusal has, the vendor's codes are in the error, and its words on one line."""
    said = str(refusal("http://acorn", 403, text + "\nmore"))
    assert f" status=403 code={codes}:" in said
    assert "\n" not in said
