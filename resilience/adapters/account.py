"""Port Account: whether a vendor's account API still serves us, told from outages and bad tokens.

Only codes that vendors are known to send for closed accounts count as closed. A 401, a 403 that
says nothing more, and billing trouble are ambiguous: a person looks, and nothing is decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import httpx

from resilience.adapters.answers import BILLING, CLOSED, codes_in
from resilience.errors import ResilienceError

TIMEOUT_S = 3.0

CLOSED_STATES = frozenset({"locked", "suspended", "closed", "disabled", "deleted"})
"""States an account answers about itself with; `locked` counts here only, never as an error's code."""


class Meaning(StrEnum):
    """What an answer of a vendor's API says about the account."""

    OPEN = "open"
    CLOSED = "closed"
    BILLING = "billing"
    AMBIGUOUS = "ambiguous"
    OUTAGE = "outage"


class AccountUnclear(ResilienceError):
    """The vendor's answer does not tell whether the account is open; somebody has to look."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a vendor's answer was taken for, and the code that decided."""

    meaning: Meaning
    code: str


@dataclass(frozen=True)
class HttpAccount:
    """A vendor's account API over HTTP."""

    vendor: str
    url: str
    token: str = field(repr=False)

    def is_open(self) -> bool:
        """True where it serves us, False where it answers as for a closed account."""
        try:
            reply = httpx.get(
                f"{self.url}/v1/account", headers={"Authorization": f"Bearer {self.token}"}, timeout=TIMEOUT_S
            )
        except httpx.HTTPError as error:
            raise _unclear(self.vendor, f"no answer: {type(error).__name__} {error}", Meaning.OUTAGE) from error
        answer = classify(reply.status_code, reply.text)
        if answer.meaning in {Meaning.OPEN, Meaning.CLOSED}:
            return answer.meaning is Meaning.OPEN
        raise _unclear(self.vendor, f"HTTP {reply.status_code} {answer.code}", answer.meaning)


def classify(status: int, body: str) -> Answer:
    """What an answer says about the account it was asked with."""
    codes = tuple(codes_in(body))
    if status < 300:  # noqa: PLR2004
        states = [code for code in codes if code.lower() in CLOSED_STATES]
        return Answer(Meaning.CLOSED, states[0]) if states else Answer(Meaning.OPEN, "")
    for meaning, known in ((Meaning.CLOSED, CLOSED), (Meaning.BILLING, BILLING)):
        for code in codes:
            if code in known:
                return Answer(meaning, code)
    if status >= 500 or status == 429:  # noqa: PLR2004
        return Answer(Meaning.OUTAGE, codes[0] if codes else "")
    return Answer(Meaning.AMBIGUOUS, codes[0] if codes else "")


def _unclear(vendor: str, why: str, meaning: Meaning) -> AccountUnclear:
    nexts = {
        Meaning.OUTAGE: "See the vendor's status page and try from another network; an outage is no loss yet.",
        Meaning.BILLING: "Pay the open bill, and ask again.",
    }
    return AccountUnclear(
        f"{vendor} does not tell whether the account is open ({meaning})",
        why,
        nexts.get(meaning, "Try another credential and look into the mailbox; decide only with a second sign."),
    )
