"""The lab as it is when it is up: what can be reached, by whom, and what a host is like."""

from __future__ import annotations

import base64
import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import paramiko
import pytest

from resilience.config import load
from resilience.errors import Locked, ResilienceError
from resilience.keys import ssh_key_pair
from resilience.lab import Lab
from tests.vault_servers import free_ports

pytestmark = pytest.mark.lab

ASK = "import socket; print(socket.gethostbyname('plaza.test'))"


def _account(directory: Path, vendor: str, number: int) -> httpx.Client:
    token = (directory / "kit/accounts" / f"{vendor}.txt").read_text().strip()
    return httpx.Client(
        base_url=f"http://198.18.{number}.2/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60
    )


def _wanted(directory: Path, name: str) -> dict[str, str]:
    private, _ = ssh_key_pair()
    public = (directory / "kit/ssh_ed25519.pub").read_text()
    return {"name": name, "authorized_key": public, "host_key_private": private, "size": "small"}


def _ssh(directory: Path, address: str, host_key: str, command: str) -> str:
    kind, _, blob = host_key.partition(" ")
    client = paramiko.SSHClient()
    pinned = paramiko.Ed25519Key(data=base64.b64decode(blob.split()[0]))
    client.get_host_keys().add(address, kind, pinned)
    patience = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), 120.0)
    client.connect(address, username="root", key_filename=str(directory / "kit/ssh_ed25519"), **patience)  # type: ignore[arg-type]
    try:
        _, output, _ = client.exec_command(command, timeout=180)
        return output.read().decode()
    finally:
        client.close()


def _point(directory: Path, vendor: str, number: int, address: str, ttl: int = 1) -> int:
    key = (directory / "kit/dns" / f"{vendor}.txt").read_text().strip()
    records = [{"content": address, "disabled": False}]
    change = {"name": "plaza.test.", "type": "A", "ttl": ttl, "changetype": "REPLACE", "records": records}
    url = f"http://198.18.{number}.53:8081/api/v1/servers/localhost/zones/plaza.test."
    return httpx.patch(url, headers={"X-API-Key": key}, json={"rrsets": [change]}).status_code


def test_the_fleet_file_is_one_the_toolkit_takes(lab: Lab) -> None:
    """What the lab writes is loaded by the same code as any fleet file."""
    fleet = load(lab.fleet_file)
    assert fleet.lab
    assert [site.name for site in fleet.sites] == ["acorn", "birch", "cedar"]
    assert {vault.name for vault in fleet.vaults} == {"birch", "cedar", "elm"}
    assert [(zone.vendor, zone.spare) for zone in fleet.names.zones] == [
        ("acorn", False),
        ("dover", False),
        ("birch", True),
    ]


def test_only_its_owner_reads_the_kit(lab: Lab) -> None:
    """Every key and credential is 0600 in folders that are 0700."""
    for path in (lab.directory / "kit").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_all_services_run(lab: Lab) -> None:
    """Five vendors, each with what it sells."""
    vendors = lab.status()["vendors"]
    assert {name for name, vendor in vendors.items() if vendor["hosts"]} == {"cedar"}
    assert all(all(vendor["services"].values()) for vendor in vendors.values())
    assert not any(vendor["closed"] for vendor in vendors.values())


def _try_outside() -> tuple[str, str]:
    said = []
    for attempt in (("192.0.2.1", 80), ("deb.debian.org", 80)):
        try:
            socket.create_connection(attempt, timeout=3).close()
            said.append("reached")
        except OSError as error:
            said.append(type(error).__name__)
    return said[0], said[1]


def test_nothing_but_the_lab_can_be_reached_from_inside(inside: object) -> None:
    """The operator's place has no way out, and its resolver knows no other names."""
    by_address, by_name = inside(_try_outside)  # type: ignore[operator]
    assert by_address == "OSError"
    assert by_name == "gaierror"


def test_the_machine_itself_got_no_address_of_the_lab(lab: Lab) -> None:
    """Nothing is added to the network the machine lives in."""
    assert lab.is_up()
    shown = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, check=True).stdout
    assert "198.18." not in shown


def _bare_metal(directory: Path) -> str:
    key = (directory / "kit/host_keys/198.18.3.100.pub").read_text()
    return _ssh(directory, "198.18.3.100", key, "hostname; systemctl is-system-running --wait; cat /etc/os-release")


def test_the_bare_metal_host_is_simply_there(lab: Lab, inside: object) -> None:
    """cedar-1 is a whole Debian 12 that the operator's key opens, with the pinned host key."""
    said = inside(_bare_metal, lab.directory)  # type: ignore[operator]
    assert said.startswith("cedar-1\nrunning\n")
    assert 'VERSION_ID="12"' in said


def _rent(directory: Path) -> dict[str, object]:
    with _account(directory, "acorn", 1) as api:
        wanted = _wanted(directory, "acorn-1")
        first = api.post("/hosts", json=wanted)
        again = api.post("/hosts", json=wanted)
        other = api.post("/hosts", json={**wanted, "size": "large"})
        made = first.json()
        machine = _ssh(directory, made["address"], made["host_key"], "cat /etc/machine-id; ls /etc/ssh/*_key")
        shown = api.get(f"/hosts/{made['id']}").json()
        gone = api.delete(f"/hosts/{made['id']}").status_code
        return {
            "codes": [first.status_code, again.status_code, other.status_code, gone],
            "same": again.json() == made,
            "machine": machine,
            "shown": shown,
            "left": api.get("/hosts").json(),
            "none": api.get(f"/hosts/{made['id']}").status_code,
        }


def test_hosts_come_and_go_through_the_account_api(lab: Lab, inside: object) -> None:
    """Asking twice gives one host; other parameters under its name are a conflict; deleting frees everything."""
    seen = inside(_rent, lab.directory)  # type: ignore[operator]
    assert seen["codes"] == [201, 200, 409, 204]
    assert seen["same"]
    assert re.match(r"^[0-9a-f]{32}\n/etc/ssh/ssh_host_ed25519_key\n$", seen["machine"])
    assert seen["shown"]["status"] == "running"
    assert "host_key_private" not in seen["shown"]
    assert seen["left"] == {"hosts": []}
    assert seen["none"] == 404


def _bad_calls(directory: Path) -> list[tuple[int, str]]:
    with _account(directory, "birch", 2) as api:
        answers = [
            httpx.get("http://198.18.2.2/v1/account"),
            httpx.get("http://198.18.2.2/v1/account", headers={"Authorization": "Bearer wrong"}),
            api.post("/hosts", content=b"no json"),
            api.post("/hosts", json={"name": "x"}),
            api.post("/hosts", json={**_wanted(directory, "x"), "host_key_private": "no key"}),
            api.delete("/hosts/i-none"),
            api.get("/nonsense"),
        ]
        return [(answer.status_code, answer.json()["error"]["code"]) for answer in answers]


def test_bad_requests_are_answered_not_obeyed(lab: Lab, inside: object) -> None:
    """No token, a wrong one, no JSON, lacking fields, a bad key, nothing there: each its own answer, no host."""
    assert inside(_bad_calls, lab.directory) == [  # type: ignore[operator]
        (401, "AuthFailure"),
        (401, "AuthFailure"),
        (400, "InvalidParameter"),
        (422, "InvalidParameter"),
        (422, "InvalidParameter"),
        (404, "NotFound"),
        (404, "NotFound"),
    ]
    assert lab.status()["vendors"]["birch"]["hosts"] == {}


def _bucket(directory: Path, vendor: str, number: int) -> list[object]:
    with _account(directory, vendor, number) as api:
        made = [api.post("/buckets", json={"name": "pictures"}).status_code for _ in range(2)]
        names = api.get("/buckets").json()["buckets"]
        gone = [api.delete("/buckets/pictures").status_code for _ in range(2)]
        return [made, "pictures" in names, gone]


@pytest.mark.parametrize(("vendor", "number"), [("acorn", 1), ("birch", 2)])
def test_buckets_come_and_go_through_the_account_api(lab: Lab, inside: object, vendor: str, number: int) -> None:
    """Asking twice is no error; deleting what is not there is a 404."""
    assert inside(_bucket, lab.directory, vendor, number) == [[201, 201], True, [204, 404]]  # type: ignore[operator]


def test_every_request_is_in_the_vendors_log(lab: Lab, inside: object) -> None:
    """Who called what and when, so that a call to a dead vendor is seen by the vendor too."""
    inside(_bad_calls, lab.directory)  # type: ignore[operator]
    last = lab.requests("birch")[-1]
    assert {**last, "at": 0} == {"at": 0, "method": "GET", "path": "/v1/nonsense", "from": "198.18.0.10", "status": 404}


def test_users_find_the_name_where_both_vendors_point_it(lab: Lab, inside: object) -> None:
    """A record put through the name servers' API is what the users' resolver answers."""
    assert inside(_point, lab.directory, "acorn", 1, "198.18.1.100") == 204  # type: ignore[operator]
    assert inside(_point, lab.directory, "dover", 4, "198.18.1.100") == 204  # type: ignore[operator]
    found = lab.popen_as_users([sys.executable, "-c", ASK], stdout=subprocess.PIPE, text=True)
    assert found.communicate(timeout=120)[0].strip() == "198.18.1.100"


def test_a_browser_on_this_machine_follows_the_name(lab: Lab, inside: object) -> None:
    """A port of the machine's loopback goes to wherever the name points: here a bucket, that answers by itself."""
    (port,) = free_ports(1)
    lab.forward(port)
    with pytest.raises(ResilienceError, match=str(port)):
        lab.forward(port)
    for number, vendor in ((1, "acorn"), (4, "dover")):
        inside(_point, lab.directory, vendor, number, "198.18.3.3", 1)  # type: ignore[operator]
    deadline = time.monotonic() + 180
    while True:
        answer = httpx.get(f"http://127.0.0.1:{port}/plaza-vault", timeout=60)
        if answer.status_code != 502:
            break
        assert time.monotonic() < deadline, answer.text
    assert "<Code>AccessDenied</Code>" in answer.text


def _as_users_from_inside(directory: Path) -> str:
    lab = Lab(directory)
    process = lab.popen_as_users(["ip", "-o", "-4", "addr"], stdout=subprocess.PIPE, text=True)
    return str(process.communicate(timeout=120)[0])


def test_users_can_be_started_by_a_process_that_is_inside(lab: Lab, inside: object) -> None:
    """The drill has entered the operator's place, and its workload runs at the users' all the same."""
    assert "198.18.0.20" in inside(_as_users_from_inside, lab.directory)  # type: ignore[operator]


def test_a_second_lab_is_told_who_has_the_first(lab: Lab, tmp_path: Path) -> None:
    """One lab on a machine: the second names process and folder, and touches nothing."""
    with pytest.raises(Locked) as caught:
        Lab(tmp_path / "second").up()
    assert str(os.getpid()) in caught.value.why
    assert str(lab.directory) in caught.value.why
    assert lab.is_up()


def test_a_lab_that_is_not_up_cannot_be_entered(tmp_path: Path) -> None:
    """The error says how to make one."""
    with pytest.raises(ResilienceError, match="no lab to enter"):
        Lab(tmp_path / "none").enter_operator()
