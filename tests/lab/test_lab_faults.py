"""A vendor is lost: what it answers, what is dead, and who is seen calling it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from resilience.errors import UsageError
from resilience.keys import ssh_key_pair
from resilience.lab import Lab, damage, places, processes

pytestmark = pytest.mark.lab

ASK = "import socket; print(socket.gethostbyname('plaza.test'))"
FETCH = """
import sys, urllib.request, urllib.error
try:
    urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2]))
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
except OSError as error:
    print(error)
"""


def _rent(directory: Path, vendor: str, number: int) -> str:
    token = (directory / "kit/accounts" / f"{vendor}.txt").read_text().strip()
    wanted = {
        "name": f"{vendor}-1",
        "authorized_key": (directory / "kit/ssh_ed25519.pub").read_text(),
        "host_key_private": ssh_key_pair()[0],
        "size": "small",
    }
    url = f"http://198.18.{number}.2/v1/hosts"
    made = httpx.post(url, json=wanted, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    return str(made.raise_for_status().json()["address"])


def _point(directory: Path, number: int, vendor: str, address: str) -> None:
    key = (directory / "kit/dns" / f"{vendor}.txt").read_text().strip()
    records = [{"content": address, "disabled": False}]
    change = {"name": "plaza.test.", "type": "A", "ttl": 2, "changetype": "REPLACE", "records": records}
    url = f"http://198.18.{number}.53:8081/api/v1/servers/localhost/zones/plaza.test."
    httpx.patch(url, headers={"X-API-Key": key}, json={"rrsets": [change]}).raise_for_status()


def _as_users(lab: Lab, *argv: str) -> str:
    process = lab.popen_as_users([sys.executable, "-c", *argv], stdout=subprocess.PIPE, text=True)
    return str(process.communicate(timeout=120)[0]).strip()


def _fetch(lab: Lab, url: str, within_s: float = 60) -> str:
    return _as_users(lab, FETCH, url, str(within_s))


PROBE = """
import contextlib, socket
with contextlib.suppress(OSError):
    socket.create_connection(("198.18.1.100", 22), timeout=2)
"""
HELD = """
import socket
held = socket.create_connection(("198.18.1.2", 80))
print("open", flush=True)
input()
held.sendall(b"GET / HTTP/1.1")
print("sent", flush=True)
input()
"""


@pytest.fixture(scope="module")
def held(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    """An operator's process that keeps a connection to acorn open, and sends on it when it is told to."""
    argv = ["ip", "netns", "exec", places.OPERATOR_SPACE, sys.executable, "-c", HELD]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert _next_line(process) == "open"
        yield process
        process.kill()


def _next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture(scope="module")
def lost(lab: Lab, inside: object, held: subprocess.Popen[str]) -> Lab:
    """A lab in which acorn, with a host and the name, has just been terminated."""
    assert inside(_rent, lab.directory, "acorn", 1) == "198.18.1.100"  # type: ignore[operator]
    for number, vendor in ((1, "acorn"), (4, "dover")):
        inside(_point, lab.directory, number, vendor, "198.18.1.100")  # type: ignore[operator]
    assert _as_users(lab, ASK) == "198.18.1.100"
    before = time.time()
    assert before <= lab.inject("terminate", ["acorn"])["at"] <= time.time()
    lab.blackhole(["acorn"])
    return lab


def test_account_and_bucket_answer_as_closed_ones_do(lost: Lab) -> None:
    """The words are those that real vendors were seen to send."""
    account = _fetch(lost, "http://198.18.1.2/v1/account")
    bucket = _fetch(lost, "http://198.18.1.3/plaza-vault")
    assert account.startswith("403")
    assert '"code": "Blocked"' in account
    assert bucket.startswith("403")
    assert "<Code>AllAccessDisabled</Code>" in bucket


def test_hosts_and_name_server_are_dead(lost: Lab) -> None:
    """Not refused: silent, as an address is that nobody has any more."""
    status = lost.status()["vendors"]["acorn"]
    assert status["closed"]
    assert status["hosts"] == {"acorn-1": False}
    assert "timed out" in _fetch(lost, "http://198.18.1.100/", within_s=2)
    assert "timed out" in _fetch(lost, "http://198.18.1.53:8081/", within_s=2)


def test_the_name_moves_at_the_vendor_that_is_left(lost: Lab, inside: object) -> None:
    """The resolver keeps the old answer as long as it said, then asks who is left."""
    inside(_point, lost.directory, 4, "dover", "198.18.2.100")  # type: ignore[operator]
    deadline = time.monotonic() + 120
    while (found := _as_users(lost, ASK)) != "198.18.2.100":
        assert time.monotonic() < deadline, found


def _call_the_dead() -> None:
    for url in ("http://198.18.1.2/v1/account", "http://198.18.1.3/"):
        with pytest.raises(httpx.ConnectTimeout):
            httpx.get(url, timeout=0.5)


def test_every_call_to_the_dead_is_counted_and_named(lost: Lab, inside: object) -> None:
    """From the operator, and from a host that was made after the fault; nothing comes through."""
    assert lost.blackhole_complete()
    assert lost.blackhole_calls() == []
    assert inside(_rent, lost.directory, "birch", 2) == "198.18.2.100"  # type: ignore[operator]
    assert lost.blackhole_complete()
    inside(_call_the_dead)  # type: ignore[operator]
    processes.run([sys.executable, "-c", PROBE], space=f"{places.HOST_SPACE}birch-1")
    seen = {(call["from"], call["vendor"], call["address"], call["port"]) for call in lost.blackhole_calls()}
    assert seen == {
        ("operator", "acorn", "198.18.1.2", 80),
        ("operator", "acorn", "198.18.1.3", 80),
        ("birch-1", "acorn", "198.18.1.100", 22),
    }
    assert [call["attempts"] for call in lost.blackhole_calls()] == [1, 1, 1], "the kernel's repeats are no attempts"


def test_what_is_sent_on_an_old_connection_is_told_apart(lost: Lab, held: subprocess.Popen[str]) -> None:
    """It is no attempt to connect, and it gets nowhere; that somebody sent it is not kept quiet."""
    before = lost.blackhole_calls()
    assert held.stdin is not None
    held.stdin.write("go\n")
    held.stdin.flush()
    assert _next_line(held) == "sent"
    (used,) = lost.blackhole_used()
    assert (used["from"], used["vendor"], used["address"], used["port"]) == ("operator", "acorn", "198.18.1.2", 80)
    assert lost.blackhole_calls() == before


def _fill_vaults(directory: Path) -> None:
    for vault in ("birch", "cedar", "elm"):
        operator = damage.open_as(directory, vault, "operator")
        for number in range(20):
            assert operator.write(f"wal/00000001/{number:016x}", b"a chunk of the chain")
            assert operator.write(f"media/{number:02x}", b"a picture")


def _altered(directory: Path, vault: str) -> list[int]:
    operator = damage.open_as(directory, vault, "operator")
    kept = {"wal/": b"a chunk of the chain", "media/": b"a picture"}
    keys = [key for key in operator.keys() if key.startswith(tuple(kept))]  # noqa: SIM118 - no mapping
    changed = [key for key in keys if operator.read(key) != kept[key.partition("/")[0] + "/"]]
    return [len(keys), len(changed)]


def test_bit_rot_changes_a_few_objects_in_one_vault(lost: Lab, inside: object) -> None:
    """The seed says which vault; the others keep what they had."""
    inside(_fill_vaults, lost.directory)  # type: ignore[operator]
    done = lost.inject("bit-rot", ["acorn"], seed=4)
    assert done["vaults"] == {"cedar": {"changed": 4}}
    assert inside(_altered, lost.directory, "cedar") == [40, 4]  # type: ignore[operator]
    assert inside(_altered, lost.directory, "birch") == [40, 0]  # type: ignore[operator]


def test_a_hijack_removes_nothing(lost: Lab, inside: object) -> None:
    """The primary's credentials cannot delete anywhere; where they can write over, the old version stays."""
    inside(_fill_vaults, lost.directory)  # type: ignore[operator]
    done = lost.inject("hijack", ["acorn"])
    assert {vault: tried["removed"] for vault, tried in done["vaults"].items()} == {"birch": 0, "cedar": 0, "elm": 0}
    assert done["vaults"]["birch"]["written_over"] == 0
    assert inside(_altered, lost.directory, "birch") == [40, 0]  # type: ignore[operator]
    assert not (lost.directory / "vendors/acorn/bucket/data").exists()


def test_vendors_of_other_kinds_answer_in_their_own_words(lost: Lab) -> None:
    """Several at once: birch as Google does, elm as an S3 whose account has a problem."""
    lost.inject("correlated", ["birch", "elm"])
    assert "CONSUMER_SUSPENDED" in _fetch(lost, "http://198.18.2.2/v1/hosts")
    assert "accountDisabled" in _fetch(lost, "http://198.18.2.3/storage/v1/b/plaza-vault")
    assert "AccountProblem" in _fetch(lost, "http://198.18.5.3/plaza-vault")
    assert lost.status()["vendors"]["birch"]["hosts"] == {"birch-1": False}


def test_with_the_control_plane_alone_gone_hosts_live_on(lost: Lab) -> None:
    """The old primary goes on: that is what a fence is for."""
    lost.inject("control-plane", ["cedar"])
    assert lost.status()["vendors"]["cedar"]["hosts"] == {"cedar-1": True}
    said = _fetch(lost, "http://198.18.3.3/plaza-vault")
    assert "UserSuspended" in said, (lost.directory / "log/closed-bucket-cedar.log").read_text()


def test_a_vendor_that_relents_has_everything_as_it_was_left(lost: Lab, inside: object) -> None:
    """Account, bucket, name server and hosts answer again, but for a host that was deleted; one that is open can't relent."""
    for vendor in ("acorn", "birch"):
        lost.relent(vendor)
    status = lost.status()["vendors"]
    assert [status[vendor]["closed"] for vendor in ("acorn", "birch")] == [False, False]
    assert (status["acorn"]["hosts"], status["birch"]["hosts"]) == ({}, {"birch-1": True})
    assert all(status["acorn"]["services"].values())
    assert _fetch(lost, "http://198.18.1.2/v1/account").startswith("401")
    assert "AccessDenied" in _fetch(lost, "http://198.18.1.3/plaza-vault")
    assert "timed out" not in _fetch(lost, "http://198.18.1.53:8081/")
    assert "refused" in _fetch(lost, "http://198.18.2.100/")
    assert inside(_altered, lost.directory, "birch")[0] == 40  # type: ignore[operator]
    with pytest.raises(UsageError, match="has not closed the account"):
        lost.relent("acorn")


@pytest.mark.parametrize(
    ("fault", "vendors"), [("meteor", ["acorn"]), ("terminate", ["nobody"]), ("correlated", ["acorn"])]
)
def test_a_fault_that_makes_no_sense_is_refused(tmp_path: Path, fault: str, vendors: list[str]) -> None:
    """Before anything is touched."""
    with pytest.raises(UsageError):
        Lab(tmp_path).inject(fault, vendors)
