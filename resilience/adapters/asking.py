"""Asking a vendor beforehand: one question at a time, and what an answer, a refusal or silence means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from resilience.adapters.answers import BILLING, closed, codes_of
from resilience.adapters.budget import BudgetSpent
from resilience.adapters.vendor_words import meaning
from resilience.model import Site
from resilience.model.probe import Outcome, Trial

LATER = "Ask for more now: it can take days, and young accounts are refused."
PAYMENTS = Trial("payments", "unknown", "no interface tells them", "Look at the vendor's billing pages.")
KEYS = "credentials"
"""The question whose refusal is the answer: whoever may not even ask this has nothing that works."""


@dataclass(frozen=True)
class Asked:
    """One question: what it is about, how it is asked, and what to do where the answer is no."""

    name: str
    ask: Callable[[], str]
    next: str


class No(Exception):
    """The vendor answered, and it does not suit; or it is no more than a warning, or tells nothing."""

    def __init__(self, said: str, outcome: Outcome = "fail") -> None:
        super().__init__(said)
        self.outcome: Outcome = outcome


def outcome(site: Site, question: Asked) -> Trial:
    """What came of a question; VendorClosed where the account answers as a closed one."""
    try:
        return Trial(question.name, "pass", question.ask())
    except No as error:
        return Trial(question.name, error.outcome, str(error), question.next)
    except BudgetSpent as error:
        return Trial(question.name, "unknown", f"{error.what} {error.why}", error.next)
    except Exception as error:
        if not isinstance(error, troubles()):
            raise
        if (gone := closed(site.vendor, error)) is not None:
            raise gone from error
        return _refused(question, error)


def _refused(question: Asked, error: Exception) -> Trial:
    codes = [code for code in codes_of(error) if code]
    told = f"no answer ({', '.join(codes) or type(error).__name__})"
    if (code := next((code for code in codes if code in BILLING), None)) is not None:
        return Trial(question.name, "fail", f"a bill is open, or the account has no billing ({code})", "Pay it first.")
    if (means := meaning(f"{' '.join(codes)} {error}")) is None:
        return Trial(question.name, "unknown", told, question.next)
    return Trial(question.name, "fail" if question.name == KEYS else "unknown", f"{told}: {means.what}", means.next)


def troubles() -> tuple[type[Exception], ...]:
    """What vendors' clients raise, and what comes of an answer that lacks what it should have."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from google.auth.exceptions import GoogleAuthError
    from hcloud import HCloudException
    from keystoneauth1.exceptions import ClientException
    from requests import RequestException

    aws, google = (BotoCoreError, ClientError, ResponseParserError), (GoogleAuthError, RequestException)
    return *aws, *google, HCloudException, ClientException, KeyError


def there(found: object, said: str) -> str:
    """What is said, if anything was found."""
    return said if found else no(f"it is not so that {said}")


def room(limit: float, used: float, need: float, what: str) -> str:
    """Whether so much more is allowed; a limit below 0 is none."""
    if limit < 0:
        return f"no limit of {what}"
    said = f"{limit:.0f} {what} allowed, {used:.0f} in use, {need:.0f} needed"
    return said if limit - used >= need else no(said)


def no(said: str, outcome: Outcome = "fail") -> NoReturn:
    """The answer is no, or what else it is."""
    raise No(said, outcome)
