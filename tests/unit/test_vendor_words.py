"""Refusals of vendors' providers, told in words an operator can act on."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience.adapters import credentials
from resilience.adapters.pulumi_errors import translate
from resilience.adapters.vendor_words import meaning
from resilience.errors import MissingPart
from resilience.model import Site

SAID = [
    (
        "api error RequestTimeTooSkewed: The difference between the request time and the current time is too large",
        "clock",
    ),
    ("oauth2: invalid_grant: Token must be a short-lived token and in a reasonable timeframe. Check your iat", "clock"),
    ("api error ExpiredToken: The security token included in the request is expired", "have expired"),
    ("api error InvalidClientTokenId: The security token included in the request is invalid.", "does not take"),
    ("hcloud: unable to authenticate (unauthorized, 8cf)", "does not take"),
    ("google: could not find default credentials", "does not take"),
    ("openstack: Authentication failed", "does not take"),
    ("api error UnauthorizedOperation: You are not authorized to perform this operation", "lack a right"),
    ("googleapi: Error 403: Required 'compute.instances.create' permission, PERMISSION_DENIED", "lack a right"),
    ("invalid AWS Region: eu-central-9", "no such region"),
    (
        "googleapi: Error 400: Invalid value for field 'zone': 'europe-west99-a'. Unknown zone., invalid",
        "no such region",
    ),
    ("api error VcpuLimitExceeded: You have requested more vCPU capacity than your current limit", "quota"),
    ("server limit reached (resource_limit_exceeded)", "quota"),
    ("api error BucketAlreadyExists: The requested bucket name is not available.", "somebody else"),
    ("hcloud/setRequestFailed: server name is already used (uniqueness_error)", "there already"),
    ("api error InvalidGroup.Duplicate: The security group 'plaza-oak' already exists", "there already"),
]


@pytest.mark.parametrize(("text", "means"), SAID)
def test_a_refusal_is_told_by_what_it_means(text: str, means: str) -> None:
    """Clock, expiry, credentials, rights, places, quotas, other people's buckets: each by its own words."""
    error = translate(f"error: creating: {text}", Site("oak", "acme", "aws"), "make")
    assert means in error.what
    assert text in error.why
    assert error.next


def test_an_unknown_complaint_is_not_guessed_at() -> None:
    """What fits no meaning is shown as it was said."""
    assert meaning("error: the frobnicator is sad") is None
    error = translate("error: the frobnicator is sad", Site("oak", "acme", "aws"), "make")
    assert "frobnicator" in error.why


def test_a_missing_provider_is_named_with_its_version() -> None:
    """Which plugin, which version, and the command that brings it."""
    said = (
        "error: no resource plugin 'pulumi-resource-hcloud' found in the workspace at version v1.43.3 or on your $PATH"
    )
    error = translate(said, Site("oak", "acme", "hetzner"), "make")
    assert isinstance(error, MissingPart)
    assert "pulumi plugin install resource hcloud v1.43.3" in error.next


@pytest.mark.parametrize("stack", sorted(credentials.NEEDED))
def test_missing_credentials_are_named_before_anybody_is_asked(stack: str, tmp_path: Path) -> None:
    """No file, or one that lacks a variable: said with its name, and never taken from elsewhere."""
    file = tmp_path / "accounts" / "acme.env"
    with pytest.raises(MissingPart, match=credentials.NEEDED[stack][0]):
        credentials.read(file, stack)
    file.parent.mkdir()
    needed = credentials.NEEDED[stack]
    file.write_text("# ours\n" + "".join(f'export {name}="v-{name}"\n' for name in needed))
    assert credentials.read(file, stack) == {name: f"v-{name}" for name in needed}
    file.write_text("".join(f"{name}=v\n" for name in needed[:-1]) + f"{needed[-1]}=\n")
    with pytest.raises(MissingPart, match=needed[-1]):
        credentials.read(file, stack)
