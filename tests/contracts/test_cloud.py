"""What every cloud promises, asked of the simulated one and of the real Pulumi engine alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from resilience import caches
from resilience.adapters.pulumi import Backend, PulumiCloud, has_plugin
from resilience.adapters.pulumi_errors import StackFailed
from resilience.adapters.pulumi_orphans import _processes_on
from resilience.errors import Locked, MissingPart, Refused, VendorClosed
from resilience.model import Machine, Site, SiteOutputs
from resilience.ports import Cloud
from resilience.simulation.state import State
from resilience.simulation.vendors import SimCloud
from tests.account_server import TOKEN, Vendor, account_server
from tests.aws_server import REGION, account, empty_server, image

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "correct-horse-battery"
OUR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIXEBw1gD7YKdZaOjiNkmXffvUe1Zf22hWqmIqXxoz7a us"
THEIR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFWtv8LP7vj6bjJs7e7udK5FZoVc4zZDU4AGSGtLzEJG"
ACORN = Site("acorn", "acorn", "lab")
CEDAR = Site("cedar", "cedar", "baremetal", addresses=("198.18.3.100",))
Make = Callable[..., PulumiCloud]


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor with an account API."""
    with account_server() as found:
        yield found


@pytest.fixture
def make(vendor: Vendor, tmp_path: Path) -> Make:
    """Makes the real cloud, on one state folder."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE)
    keys = {"198.18.3.100": THEIR_KEY}
    cloud = PulumiCloud(Backend(tmp_path / "state", passphrase), OUR_KEY, vendor.url, TOKEN, keys)
    return lambda **changes: replace(cloud, **changes)


EMULATED = ["aws"] if has_plugin("aws") else []
"""Stacks whose own plugin somebody installed here: it is run for real, against an emulator on loopback."""


@pytest.fixture(params=["simulated", "lab", "baremetal", *EMULATED])
def cloud_and_site(request: pytest.FixtureRequest, make: Make) -> Iterator[tuple[Cloud, Site]]:
    """The port on the fake, and on the engine with each stack; `test_stack_state` makes and destroys a `local` one."""
    if request.param == "aws":
        with empty_server() as url:
            yield at_moto(make, url)
        return
    real = {
        "lab": (make(), ACORN),
        "baremetal": (make(account=None, token=None), CEDAR),
    }
    yield real.get(request.param) or (SimCloud(State()), ACORN)


def at_moto(make: Make, url: str) -> tuple[Cloud, Site]:
    """A site at AWS as moto plays it: an image it knows, and an address that every client of AWS heeds."""
    site = Site("oak", "acme", "aws", region=REGION, type="t3.small", image=image(url))
    given = {"operators": ("192.0.2.7/32",), "fleet": "plaza", "credentials": lambda: account(url)}
    there = make(account=None, token=None, **given)
    return there, site


def test_a_site_is_made_shown_and_destroyed(cloud_and_site: tuple[Cloud, Site]) -> None:
    """Nothing, then a site that is the same however often it is made, then nothing again."""
    cloud, site = cloud_and_site
    assert cloud.outputs(site) is None
    assert cloud.state(site) is None
    cloud.down(site)
    made = cloud.up(site)
    assert (made.site, made.vendor, len(made.addresses), len(made.host_keys)) == (site.name, site.vendor, 1, 1)
    assert cloud.outputs(site) == made == cloud.up(site)
    assert cloud.state(site)
    cloud.down(site)
    assert cloud.outputs(site) is None
    cloud.down(site)


def test_the_vendor_gets_the_key_that_is_pinned_and_no_credential_stays(
    make: Make, vendor: Vendor, tmp_path: Path
) -> None:
    """The host is asked for once, with our key and the private half of the exported host key.

    Neither token, nor private key, nor passphrase lies in clear in any file of the state folder, or leaves it.
    """
    from resilience.lab.host import public_key

    cloud = make()
    made = cloud.up(ACORN)
    assert [wanted["authorized_key"] for wanted in vendor.wanted] == [OUR_KEY]
    assert public_key(vendor.wanted[0]["host_key_private"]) == made.host_keys[0]
    private = vendor.wanted[0]["host_key_private"].splitlines()[2]
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    shown = {str(path): path.read_bytes() for path in files} | {"state": cloud.state(ACORN) or b""}
    for secret in (TOKEN, private, "OPENSSH PRIVATE KEY", PASSPHRASE):
        assert [name for name, data in shown.items() if secret.encode() in data] == [], secret[:5]
    assert TOKEN not in repr(cloud)


def test_it_needs_no_network(make: Make, tmp_path: Path) -> None:
    """With nothing but loopback in its namespace the engine works: it calls nobody."""
    order = tmp_path / "order.py"
    cloud = make()
    order.write_text(_order(cloud, f"made = cloud.up({CEDAR!r})", f"cloud.down({CEDAR!r})", "print(made.addresses[0])"))
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, str(order)]
    done = subprocess.run(alone, env=_here(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "198.18.3.100"), done.stderr


def test_the_state_can_be_imported_elsewhere(make: Make, vendor: Vendor, tmp_path: Path) -> None:
    """What `state` gives is what Pulumi imports; with the passphrase another folder goes on from it."""
    cloud = make()
    made = cloud.up(ACORN)
    exported = tmp_path / "exported.json"
    exported.write_bytes(cloud.state(ACORN) or b"")
    other = replace(cloud, backend=replace(cloud.backend, state=tmp_path / "other"))
    stack = other.stack(ACORN)
    done = _plain(other, "stack", "import", "--stack", "acorn", "--file", str(exported), cwd=stack.workspace.work_dir)
    assert done.returncode == 0, done.stderr
    assert other.outputs(ACORN) == made == other.up(ACORN)
    assert len(vendor.wanted) == 1


def test_plain_pulumi_runs_the_same_program(make: Make, vendor: Vendor) -> None:
    """`pulumi up` in the checkout finds nothing to do after `resilience up`, and destroys what that made."""
    cloud = make()
    cloud.up(ACORN)
    config = str(cloud.backend.work / "Pulumi.acorn.yaml")
    common = ("--stack", "acorn", "--config-file", config, "--non-interactive", "--yes", "--skip-preview")
    preview = _plain(cloud, "preview", "--expect-no-changes", *common[:-2])
    assert preview.returncode == 0, preview.stdout + preview.stderr
    up = _plain(cloud, "up", "--expect-no-changes", *common)
    assert up.returncode == 0, up.stdout + up.stderr
    assert len(vendor.wanted) == 1
    assert _plain(cloud, "destroy", *common).returncode == 0
    assert vendor.hosts == {}


@pytest.mark.parametrize("whom", ["all of it", "only our process"])
def test_a_killed_run_is_finished_by_the_next(make: Make, vendor: Vendor, tmp_path: Path, whom: str) -> None:
    """`kill -9` while the vendor makes the host: the next run gets that same host, not a second one.

    Where the vendor shows a host that no state knows, as a cloud may then, the next run says which and makes none.
    """
    vendor.hold = threading.Event()
    cloud = make()
    order = tmp_path / "order.py"
    order.write_text(_order(cloud, f"cloud.up({ACORN!r})"))
    process = subprocess.Popen([sys.executable, str(order)], env=_here(), start_new_session=True)
    assert vendor.asked.wait(180)
    if whom == "all of it":
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    vendor.hold.set()
    vendor.hold = None
    if whom == "all of it":
        is_cancelled_with_nobody_to_call(cloud)
        for state in (tmp_path / "state/.pulumi/stacks").rglob("*.json"):
            state.with_name(f"{state.name}.attrs").write_bytes(b"")  # as the engine leaves it between two calls
        wary = replace(cloud, strangers=lambda *_: ("i-0abc",))
        with pytest.raises(StackFailed, match=r"ended while acorn made .*no state knows i-0abc"):
            wary.up(ACORN)
    made = _when_free(lambda: cloud.up(ACORN))
    assert replace(cloud, strangers=lambda *_: ("i-0abc",)).up(ACORN) == made, "nothing is under way any more"
    assert [host["address"] for host in vendor.hosts.values()] == list(made.addresses)
    assert len({wanted["host_key_private"] for wanted in vendor.wanted}) == 1
    assert _on(cloud) == [], "a plugin outlived its engine"


def is_cancelled_with_nobody_to_call(cloud: PulumiCloud) -> None:
    """Neither the vendor nor a key service is there: the killed run's lock goes by `pulumi cancel`, and the state comes out.

    The lock is put back: whoever types `resilience up` instead finds it.
    """
    [lock] = (cloud.backend.state / ".pulumi/locks").glob("**/acorn/*.json")
    kept = lock.read_bytes()
    alone = ("unshare", "--net")
    refused = _plain(cloud, "stack", "rename", "other", "--stack", "acorn", "--non-interactive", alone=alone)
    assert "locked by 1 lock" in refused.stderr
    done = _plain(cloud, "cancel", "acorn", "--yes", "--non-interactive", alone=alone)
    assert (done.returncode, lock.exists()) == (0, False), done.stderr
    shown = _plain(cloud, "stack", "export", "--stack", "acorn", "--show-secrets", alone=alone)
    assert shown.returncode == 0, shown.stderr
    assert "OPENSSH PRIVATE KEY" in shown.stdout, "the passphrase alone opens it"
    lock.write_bytes(kept)


def _on(cloud: PulumiCloud) -> list[str]:
    """Commands of processes that still work on this state; those that are about to end get a moment."""
    deadline = time.monotonic() + 120
    while (left := _processes_on(cloud.backend.url)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [one.command.decode() for one in left.values()]


def _when_free(action: Callable[[], SiteOutputs]) -> SiteOutputs:
    """Do it as soon as an engine that outlived its operator has ended by itself."""
    deadline = time.monotonic() + 180
    while True:
        try:
            return action()
        except Locked:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_two_at_once_are_told(make: Make, vendor: Vendor) -> None:
    """While somebody makes the site, another is told who is at work, and changes nothing."""
    vendor.hold = threading.Event()
    cloud = make()
    first = threading.Thread(target=cloud.up, args=(ACORN,))
    first.start()
    assert vendor.asked.wait(180)
    with pytest.raises(Locked, match="at work on this stack"):
        cloud.up(ACORN)
    vendor.hold.set()
    first.join()
    assert cloud.outputs(ACORN) is not None


def test_a_wrong_passphrase_is_said(make: Make) -> None:
    """Another passphrase opens nothing, and the error is about that."""
    cloud = make()
    cloud.up(ACORN)
    cloud.backend.passphrase.write_text("wrong")
    with pytest.raises(MissingPart, match="passphrase does not open"):
        cloud.up(ACORN)


def test_a_missing_passphrase_is_said(make: Make) -> None:
    """No passphrase file: said before the engine is started."""
    cloud = make()
    cloud.backend.passphrase.unlink()
    with pytest.raises(MissingPart, match=r"passphrase file .* is missing"):
        cloud.up(ACORN)


def test_a_missing_engine_is_said(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine: what is missing and which command makes it."""
    cloud = make()
    monkeypatch.setenv("RESILIENCE_CACHE", str(tmp_path / "empty"))
    with pytest.raises(MissingPart, match="engine") as caught:
        cloud.up(ACORN)
    assert "scripts/bootstrap" in caught.value.next


CLOSED = {
    "Blocked": json.dumps({"error": {"code": "Blocked", "message": "This account is currently blocked"}}),
    "CONSUMER_SUSPENDED": json.dumps(
        {"error": {"code": 403, "status": "PERMISSION_DENIED", "details": [{"reason": "CONSUMER_SUSPENDED"}]}}
    ),
    "UserSuspended": "<?xml version='1.0'?><Error><Code>UserSuspended</Code></Error>",
}


@pytest.mark.parametrize("code", CLOSED)
def test_a_closed_account_is_told_from_other_trouble(make: Make, vendor: Vendor, code: str) -> None:
    """The vendor's own code for a closed account comes through, whatever form it is in."""
    vendor.refusal = (403, "application/json", CLOSED[code])
    with pytest.raises(VendorClosed) as caught:
        make().up(ACORN)
    assert (caught.value.vendor, caught.value.code) == ("acorn", code)


def test_a_refused_token_is_not_a_closed_account(make: Make) -> None:
    """A wrong token is an error of its own, with the vendor's code."""
    with pytest.raises(StackFailed, match="401, AuthFailure"):
        make(token="wrong").up(ACORN)


def test_a_vendor_that_is_away_is_said(make: Make, vendor: Vendor) -> None:
    """Nobody at the account API: named, and the next run makes the site."""
    with pytest.raises(StackFailed, match="NoAnswer"):
        make(account="http://127.0.0.1:9").up(ACORN)
    assert make().up(ACORN).addresses == ("198.18.1.100",)


def test_a_taken_name_destroys_nothing(make: Make, vendor: Vendor) -> None:
    """A host of our name that we did not make is left alone."""
    vendor.hosts["acorn-1"] = {"id": "i-9", "name": "acorn-1", "address": "198.18.1.9", "key": "another"}
    with pytest.raises(StackFailed, match="409, NameTaken"):
        make().up(ACORN)
    assert "acorn-1" in vendor.hosts


@pytest.mark.parametrize("changed", ["it would be made anew", "nothing asks for it any more"])
def test_a_host_that_is_there_is_never_ended_by_up(make: Make, vendor: Vendor, changed: str) -> None:
    """A change in the fleet file that the engine answers with another host, or with none, is refused: the disk would go with it."""
    cloud = make()
    made = cloud.up(ACORN)
    there, state = dict(vendor.hosts), cloud.state(ACORN)
    if changed == "it would be made anew":
        other, site = make(account=vendor.url.replace("127.0.0.1", "localhost")), ACORN
    else:
        other, site = cloud, replace(ACORN, stack="baremetal", addresses=CEDAR.addresses)
    with pytest.raises(Refused, match=r"acorn would remove the host acorn-1 with its disk") as caught:
        other.up(site)
    assert ("account" in caught.value.what) == (other is not cloud)
    assert "resilience down acorn" in caught.value.next
    assert (vendor.hosts, cloud.state(ACORN)) == (there, state)
    cloud.down(ACORN)
    assert other.up(site).host_keys != made.host_keys, "once it was taken down, what is asked for is made"


def test_a_host_that_is_gone_already_can_be_destroyed(make: Make, vendor: Vendor) -> None:
    """`down` of a site whose vendor lost its host ends well."""
    cloud = make()
    cloud.up(ACORN)
    vendor.hosts.clear()
    cloud.down(ACORN)
    assert cloud.outputs(ACORN) is None


def test_bare_metal_without_a_host_key_is_refused(make: Make) -> None:
    """A host that is simply there is pinned too."""
    with pytest.raises(MissingPart, match="no host key is known"):
        make(host_keys={}).up(CEDAR)


def test_bare_metal_without_hosts_is_refused(make: Make) -> None:
    """A bare-metal stack cannot make hosts, and says that it needs some."""
    with pytest.raises(StackFailed, match="can't make what the fleet file asks for") as caught:
        make().up(replace(CEDAR, addresses=()))
    assert "has no hosts" in caught.value.why


def test_an_unknown_stack_is_said(make: Make) -> None:
    """A stack nobody wrote is named, with those there are."""
    with pytest.raises(StackFailed) as caught:
        make().up(replace(ACORN, stack="moon"))
    assert "'moon'" in caught.value.why
    assert "baremetal, gcp" in caught.value.why


@pytest.mark.parametrize("kind", [kind for kind in ("hetzner", "aws", "gcp") if not has_plugin(kind)][:2])
def test_a_stack_without_its_provider_is_said(make: Make, kind: str) -> None:
    """The real engine has no plugin of this vendor: named with its version, and nothing was made."""
    oak = Site("oak", "acme", kind, region="fsn1", zone="fsn1-a", type="cx23")
    with pytest.raises(MissingPart, match="pulumi-resource-") as caught:
        make(operators=("192.0.2.7/32",), fleet="plaza").up(oak)
    assert "pulumi plugin install resource" in caught.value.next
    told = (make().backend.work / "Pulumi.oak.yaml").read_text()
    assert ("aws:region: fsn1" in told) == (kind == "aws"), (
        "AWS's provider asks who we are first, and for that it wants a region"
    )
    assert make().outputs(oak) is None


def test_a_size_nobody_has_is_said_first(make: Make) -> None:
    """The program refuses before it asks anybody: in the real engine, with no provider there."""
    oak = Site("oak", "acme", "hetzner", region="fsn1", least=Machine(200, 2000, 40))
    with pytest.raises(StackFailed, match="can't make what the fleet file asks for") as caught:
        make(operators=("192.0.2.7/32",), fleet="plaza").up(oak)
    assert "the largest is ccx63" in caught.value.why


def test_broken_state_is_said(make: Make) -> None:
    """A state file that is no JSON is named, and where to get it back."""
    cloud = make()
    cloud.up(ACORN)
    cloud.state_file(ACORN).write_text("{")
    with pytest.raises(StackFailed, match="cannot be read") as caught:
        cloud.outputs(ACORN)
    assert "vault" in caught.value.next


def test_nothing_is_left_in_the_users_folder(make: Make, tmp_path: Path) -> None:
    """In a process of its own, the engine keeps to the fleet's folder: `~/.pulumi` stays as it was."""
    theirs = Path("~root/.pulumi").expanduser()
    before = sorted(theirs.rglob("*"))
    order = tmp_path / "order.py"
    order.write_text(_order(make(), f"cloud.up({CEDAR!r})", f"cloud.down({CEDAR!r})"))
    subprocess.run([sys.executable, str(order)], env=_here(), check=True, capture_output=True)
    assert sorted(theirs.rglob("*")) == before


def test_outputs_need_no_engine(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was exported is read from the state: with the passphrase and the engine away, too."""
    cloud = make()
    made = cloud.up(ACORN)
    cloud.backend.passphrase.unlink()
    monkeypatch.setenv("RESILIENCE_CACHE", str(tmp_path / "empty"))
    assert cloud.outputs(ACORN) == made


def _order(cloud: PulumiCloud, *lines: str) -> str:
    """A program that works on the same state, for a process of its own."""
    state, passphrase = str(cloud.backend.state), str(cloud.backend.passphrase)
    begin = [
        "from pathlib import Path",
        "from resilience.adapters.pulumi import Backend, PulumiCloud",
        "from resilience.model import Site",
        f"backend = Backend(Path({state!r}), Path({passphrase!r}))",
        f"cloud = PulumiCloud(backend, {OUR_KEY!r}, {cloud.account!r}, {TOKEN!r}, {dict(cloud.host_keys)!r})",
    ]
    return "\n".join([*begin, *lines])


def _here() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _plain(
    cloud: PulumiCloud, *words: str, cwd: str | Path = ROOT, alone: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Plain `pulumi`, as stacks/README.md says; `alone` with no network at all, not even loopback."""
    env = {
        **_here(),
        "PATH": f"{Path(sys.executable).parent}:{caches.engine()}:{os.environ['PATH']}",
        "PULUMI_HOME": str(cloud.backend.state / "home"),
        "PULUMI_BACKEND_URL": cloud.backend.url,
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(cloud.backend.passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "RESILIENCE_ACCOUNT_TOKEN": TOKEN,
    }
    return subprocess.run([*alone, "pulumi", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
