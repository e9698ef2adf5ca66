"""What every account promises, asked of the simulated one and of the lab's real account API alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from resilience.adapters.account import AccountUnclear, HttpAccount
from resilience.lab import closed
from resilience.lab.account import AccountApi, application
from resilience.ports import Account
from resilience.simulation.state import State
from resilience.simulation.vendors import SimAccount

TOKEN = "open sesame"
VENDORS = ("acorn", "birch")


@dataclass
class Case:
    """An account, and how its vendor closes it."""

    account: Account
    close: Callable[[], object]


@contextmanager
def _served(directory: Path, vendor: str) -> Iterator[str]:
    """The lab's own account API on loopback."""
    (directory / "vendors" / vendor).mkdir(parents=True)
    api = AccountApi(directory, vendor, directory / "no-rootfs", TOKEN)
    server = uvicorn.Server(uvicorn.Config(application(api), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(params=["simulated", *VENDORS])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    """The port, on the fake and on each real one."""
    if request.param == "simulated":
        state = State()
        yield Case(SimAccount(state, "acorn"), lambda: state.lose("acorn"))
        return
    with _served(tmp_path, request.param) as url:
        marker = closed.marker(tmp_path, request.param)
        yield Case(HttpAccount(request.param, url, TOKEN), marker.touch)


def test_an_open_account_is_open(case: Case) -> None:
    """It serves us."""
    assert case.account.is_open() is True


def test_a_closed_account_is_not(case: Case) -> None:
    """It answers as vendors answer after a termination, however often it is asked."""
    case.close()
    assert case.account.is_open() is False
    assert case.account.is_open() is False


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_wrong_token_is_no_closed_account(tmp_path: Path, vendor: str) -> None:
    """A credential error alone never counts as a suspension."""
    with _served(tmp_path, vendor) as url, pytest.raises(AccountUnclear):
        HttpAccount(vendor, url, "wrong").is_open()


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_answer_is_no_closed_account(tmp_path: Path, vendor: str) -> None:
    """Nor does an outage."""
    with _served(tmp_path, vendor) as url:
        account = HttpAccount(vendor, url, TOKEN)
    with pytest.raises(AccountUnclear):
        account.is_open()


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_closed_account_changes_nothing(tmp_path: Path, vendor: str) -> None:
    """Whatever is asked of it, the answer is the same and nothing happens."""
    import httpx

    with _served(tmp_path, vendor) as url:
        closed.marker(tmp_path, vendor).touch()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answers = [
            httpx.request(method, f"{url}{path}", headers=headers, json={"name": "x"})
            for method, path in (("POST", "/v1/hosts"), ("DELETE", "/v1/hosts/x"), ("POST", "/v1/buckets"))
        ]
    assert {answer.status_code for answer in answers} == {403}
    assert {answer.content for answer in answers} == {closed.account_answer(vendor).body}
    assert not (tmp_path / "vendors" / vendor / "hosts.json").exists()


def test_what_nobody_foresaw_is_said(tmp_path: Path) -> None:
    """An error of the lab's own has words in its answer, not only a status."""
    import httpx

    with _served(tmp_path, "acorn") as url:
        (tmp_path / "vendors/acorn/hosts.json").write_text("no JSON")
        answer = httpx.get(f"{url}/v1/hosts", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "InternalError")
    assert "JSONDecodeError" in answer.json()["error"]["message"]
