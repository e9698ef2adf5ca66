"""The OpenAPI document, and everything that schemathesis makes of it."""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from resilience.plaza.answers import AWAY, BUSY
from resilience.plaza.api import ROUTES
from resilience.plaza.openapi import OPERATIONS, document
from tests.plaza.harness import Site

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 4
"""For each operation; a night's worth is a matter of this number."""


def test_every_route_is_described_and_nothing_else() -> None:
    """Each line of the table is a route; each route is in the document, with a summary."""
    there = {(method, route.path) for route in ROUTES for method in route.methods or ()}
    lines = [tuple(line.split("|")[0].split()) for line in OPERATIONS.strip().splitlines()]
    assert set(lines) <= there
    assert len(lines) == len(set(lines))
    paths = document(ROUTES, "http://plaza.test", "1")["paths"]
    assert all(operation["summary"] for path in paths.values() for operation in path.values())
    assert {route.path for route in ROUTES if not route.path.startswith("/media/")} == set(paths)


def cases_of(operation: Any) -> list[Case[Any]]:
    """What is generated for one operation, before anything is sent: an answer would change what comes next."""
    cases: list[Case[Any]] = []

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def draw(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(list(schemathesis.GenerationMode)))
        cases.append(data.draw(operation.as_strategy(generation_mode=mode)))

    with suppress(Unsatisfiable):  # nothing wrong can be sent to what takes nothing
        draw()
    return cases


def failure_of(case: Case[Any], headers: dict[str, str]) -> str:
    """Send it, again where a busy machine had no connection for it in time; what is wrong with the answer, if anything."""
    try:
        for _ in range(4):
            answer = case.call(headers=headers, timeout=120)
            if not any(said in answer.text for said in (AWAY, BUSY)):
                break
        case.validate_response(answer, CHECKS, headers=headers)
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (all are tried, then all failures are told)
        return f"{case.operation.label}: {''.join(traceback.format_exception(error))[-4000:]}"
    return ""


@pytest.mark.parametrize("role", ["guest", "moderator"])
def test_whatever_is_sent_is_answered_as_described(plaza: Site, role: str) -> None:
    """Values of the described types and of others, to every operation: never a 5xx, always the described shape."""
    headers = {}
    if role == "moderator":
        headers["Authorization"] = f"Bearer {plaza.moderator('schema').access_token}"
    schema = schemathesis.openapi.from_dict(httpx.get(f"{plaza.base}/api/openapi.json").json())
    schema.config.update(base_url=plaza.base)
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    cases = [case for operation in operations for case in cases_of(operation)]
    failures = [found for case in cases if (found := failure_of(case, headers))]
    assert not failures, "\n\n".join(failures)
    assert len(operations) > 80
    assert len(cases) > 2 * len(operations)
