"""What vendors' providers say when they refuse, and what that means for the operator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from resilience.adapters.answers import OddAnswer, TooLarge
from resilience.errors import Oversized, ResilienceError, VaultError, VaultSilent

Flag = re.IGNORECASE


@dataclass(frozen=True, slots=True)
class Meaning:
    """One kind of refusal: how it is told, what it means, and what to do."""

    said: re.Pattern[str]
    what: str
    next: str


MEANINGS: tuple[Meaning, ...] = (
    Meaning(
        re.compile(r"RequestTimeTooSkewed|RequestExpired|reasonable timeframe|signature not yet current", Flag),
        "this machine's clock is off, so the vendor takes none of our signatures",
        "Set the clock (`timedatectl set-ntp true`), then run the same command again.",
    ),
    Meaning(
        re.compile(
            r"ExpiredToken|token (?:has|is) expired|credentials? (?:has|have|are) expired|fields need to refresh the access",
            Flag,
        ),
        "the credentials have expired",
        "Make new ones at the vendor, put them into the kit, then run the same command again.",
    ),
    Meaning(
        re.compile(
            r"InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|AuthFailure|No valid credential"
            r"|could not find default credentials|invalid_grant|unable to authenticate|\(unauthorized"
            r"|Authentication failed|requires authentication|401 Unauthorized|Invalid Credentials",
            Flag,
        ),
        "the vendor does not take these credentials",
        "Compare the kit's accounts/VENDOR.env with what the vendor shows; docs/vendors/ says which it must be.",
    ),
    Meaning(
        re.compile(
            r"UnauthorizedOperation|AccessDenied|PERMISSION_DENIED|insufficient.{0,20}permission|\(forbidden"
            r"|does not have storage\.\S+ access",
            Flag,
        ),
        "the credentials lack a right",
        "Give them the rights that docs/vendors/ lists for this vendor, and no more; then run the same command again.",
    ),
    Meaning(
        re.compile(
            r"invalid AWS region|invalid region|unknown (?:zone|region)|field 'zone'|location .{1,40}not found", Flag
        ),
        "the vendor knows no such region or zone",
        'Write one of the vendor\'s own words into the fleet file: region = "…".',
    ),
    Meaning(
        re.compile(
            r"QuotaExceeded|quota .{0,60}exceeded|LimitExceeded|resource_limit_exceeded|exceeded.{0,20}quota", Flag
        ),
        "the account's quota is used up",
        "Ask the vendor for more, which can take days, or give a smaller size; then run the same command again.",
    ),
    Meaning(
        re.compile(
            r"BucketAlreadyExists|bucket name is not available|bucket .{0,80}owned by (?:another|a different)", Flag
        ),
        "the bucket belongs to somebody else",
        "Buckets' names are shared by all customers: write another one into the fleet file.",
    ),
    Meaning(
        re.compile(r"uniqueness_error|already (?:exists|used|in use)|\.Duplicate\b|alreadyExists", Flag),
        "something of this name is there already, and this stack did not make it or was ended before it could say so",
        "Look at what the vendor shows under that name. If it is this site's, remove it there and run the same command again.",
    ),
)
"""In order: the first that fits is what it means."""


def meaning(output: str) -> Meaning | None:
    """What a provider's words mean; None where nobody here knows."""
    return next((one for one in MEANINGS if one.said.search(output)), None)


def in_words(error: Exception) -> str:
    """What a client of a vendor's raised, with what it means put first where somebody here knows."""
    if isinstance(error, OddAnswer):
        return str(error)
    told, means = f"{type(error).__name__}: {said(error)}", meaning(said(error))
    return told if means is None else f"{means.what[:1].upper()}{means.what[1:]}. {told}"


def fault(error: Exception, *, silent: bool) -> type[VaultError]:
    """Which error of a vault it is."""
    return Oversized if isinstance(error, TooLarge) else VaultSilent if silent else VaultError


def said(error: Exception) -> str:
    """What it says; Google's errors stumble over answers that are none when they are to say something."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - as it says
        return "it cannot be told"


@contextmanager
def explained(explain: Callable[[str, str, Exception], ResilienceError], did: str, key: str) -> Iterator[None]:
    """Whatever goes wrong in the block is the vault's error, also where an answer is so odd that the vendor's library stumbles over it."""
    try:
        yield
    except ResilienceError:
        raise
    except Exception as error:
        raise explain(did, key, error) from error
