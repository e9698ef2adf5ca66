"""Which answers of a vendor's API mean a closed account, and which only look like one."""

from __future__ import annotations

import json

import pytest

from resilience.adapters.account import Meaning, classify


def _json(**error: object) -> str:
    return json.dumps({"error": error})


def _xml(code: str) -> str:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>words</Message></Error>'


GOOGLE = _json(
    code=403,
    status="PERMISSION_DENIED",
    message="Permission denied: Consumer 'projects/1' has been suspended.",
    details=[{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CONSUMER_SUSPENDED"}],
)
EC2 = "<Response><Errors><Error><Code>Blocked</Code><Message>blocked</Message></Error></Errors></Response>"
BILLING = json.dumps({"error": {"errors": [{"reason": "accountDisabled"}], "code": 403}})


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (403, GOOGLE, "CONSUMER_SUSPENDED"),
        (401, EC2, "Blocked"),
        (400, json.dumps({"__type": "x", "code": "BlockedException"}), "BlockedException"),
        (403, _xml("AccountProblem"), "AccountProblem"),
        (403, _xml("AllAccessDisabled"), "AllAccessDisabled"),
        (403, _xml("UserSuspended"), "UserSuspended"),
        (403, _xml("AccountIsDisabled"), "AccountIsDisabled"),
        (409, _json(code="ReadOnlyDisabledSubscription"), "ReadOnlyDisabledSubscription"),
        (200, json.dumps({"account": {"status": "locked", "status_message": "see mail"}}), "locked"),
        (200, json.dumps({"subscription": {"state": "Disabled"}}), "Disabled"),
    ],
)
def test_closed_accounts(status: int, body: str, code: str) -> None:
    """Codes that vendors were seen to send for suspended accounts are recognised in any form."""
    answer = classify(status, body)
    assert (answer.meaning, answer.code) == (Meaning.CLOSED, code)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"name": "acorn", "status": "active"}),
        json.dumps({"account": {"status": "warning"}}),
        "",
        "<html>hello</html>",
    ],
)
def test_open_accounts(body: str) -> None:
    """An account that serves us is open, with a warning too."""
    assert classify(200, body).meaning is Meaning.OPEN


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, _json(code="unauthorized")),
        (403, _json(code="forbidden")),
        (403, _xml("InvalidClientTokenId")),
        (403, _xml("AuthFailure")),
        (403, "<html>Since Docker is a US company, we must comply</html>"),
        (403, _xml("AccountSuspended")),
        (423, _json(code="locked", message="Another action is running")),
        (422, _json(code="resource_limit_exceeded")),
        (404, ""),
    ],
)
def test_what_only_looks_closed_is_ambiguous(status: int, body: str) -> None:
    """Bad credentials, quotas, busy resources and codes nobody documents decide nothing."""
    assert classify(status, body).meaning is Meaning.AMBIGUOUS


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (403, BILLING, Meaning.BILLING),
        (403, _xml("UserProjectAccountProblem"), Meaning.BILLING),
        (500, "", Meaning.OUTAGE),
        (503, "<html>", Meaning.OUTAGE),
        (429, _json(code="rate_limit_exceeded"), Meaning.OUTAGE),
        (503, _xml("UserSuspended"), Meaning.CLOSED),
    ],
)
def test_bills_and_outages_are_told_apart(status: int, body: str, meaning: Meaning) -> None:
    """An open bill and an outage have names of their own; a code that is known outweighs the status."""
    assert classify(status, body).meaning is meaning
