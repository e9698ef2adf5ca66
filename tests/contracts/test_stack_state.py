"""States of stacks, with the real engine: forgotten without a call, taken back, brought to an empty machine, and no secret in them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.adapters.pulumi import Backend, PulumiCloud
from resilience.adapters.pulumi_past import forget, recall
from resilience.adapters.sealed_state import SealedState
from resilience.engine.trial import Tried, trial
from resilience.errors import MissingPart, Refused, VaultError
from resilience.model import Site, SiteOutputs
from resilience.replication import states
from resilience.simulation.operator import SimSigner
from resilience.simulation.state import State
from resilience.simulation.vendors import SimCloud
from tests.account_server import TOKEN, Vendor, account_server

OUR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIXEBw1gD7YKdZaOjiNkmXffvUe1Zf22hWqmIqXxoz7a us"
ACORN = Site("acorn", "acorn", "local")
CREDENTIALS = {"HCLOUD_TOKEN": "h" * 40 + "cloud", "AWS_SECRET_ACCESS_KEY": "aws-secret-of-ours"}
Make = Callable[[str], PulumiCloud]


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor with an account API."""
    with account_server() as found:
        yield found


@pytest.fixture
def on(vendor: Vendor, tmp_path: Path) -> Make:
    """The real cloud on one of several machines, each with a state of its own and the same kit."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct-horse-battery")

    def machine(name: str) -> PulumiCloud:
        backend = Backend(tmp_path / name / "state", passphrase)
        return PulumiCloud(backend, OUR_KEY, vendor.url, TOKEN, fleet="plaza", credentials=lambda: CREDENTIALS)

    return machine


def test_a_dead_vendors_stack_is_forgotten_and_taken_back(on: Make, vendor: Vendor) -> None:
    """No call, no token, no credentials: then there is no site; undone, it is the same one, and nothing is made twice."""

    def nobody() -> dict[str, str]:
        raise AssertionError("forgetting asks for no credentials")

    cloud = on("laptop")
    blind = replace(cloud, account=None, token=None, credentials=nobody)
    made, calls = cloud.up(ACORN), list(vendor.calls)
    assert forget(blind, ACORN) is True
    assert cloud.outputs(ACORN) is None
    assert forget(blind, ACORN) is False
    assert vendor.calls == calls
    assert recall(blind, ACORN) is True
    assert recall(blind, ACORN) is False
    assert vendor.calls == calls
    assert cloud.outputs(ACORN) == made == cloud.up(ACORN)
    assert len(vendor.wanted) == 1


def test_what_was_forgotten_is_never_written_over(on: Make, vendor: Vendor) -> None:
    """Made anew since: neither state may replace the other."""
    cloud = on("laptop")
    cloud.up(ACORN)
    forget(cloud, ACORN)
    vendor.hosts.clear()
    cloud.up(ACORN)
    with pytest.raises(Refused, match="made anew"):
        forget(cloud, ACORN)
    with pytest.raises(Refused, match="already"):
        recall(cloud, ACORN)


def test_a_state_comes_back_on_an_empty_machine(on: Make, vendor: Vendor) -> None:
    """From a vault, with the kit alone: the same site and pinned key, nothing made twice; refused where there is one."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    old, new = on("laptop"), on("other")
    made = old.up(ACORN)
    there, here = (SealedState(cloud, (str(identity.to_public()),), lambda: str(identity)) for cloud in (old, new))
    sealed = there.state(ACORN)
    assert sealed is not None
    vault, signer, stack = MemoryVault("elm"), SimSigner(State()), states.Stack("plaza", "acorn")
    vault.put_new("state/acorn/100.json", states.encode(stack, 100, sealed, signer.sign))
    found = states.newest({"elm": vault}, stack, signer.verify).sealed
    here.adopt(ACORN, found)
    assert new.outputs(ACORN) == made == new.up(ACORN)
    assert len(vendor.wanted) == 1
    with pytest.raises(Refused, match="already"):
        here.adopt(ACORN, found)


def test_a_newer_state_takes_the_place_of_an_older_one(on: Make, vendor: Vendor, tmp_path: Path) -> None:
    """Another machine made the site anew: its host is the one from then on, nothing is made, and the older state is kept."""
    old, new = on("laptop"), on("other")
    gone = old.up(ACORN)
    older = old.state_file(ACORN).read_bytes()
    vendor.hosts.clear()
    made = new.up(ACORN)
    exported, calls = new.state(ACORN), len(vendor.wanted)
    assert exported is not None
    assert made != gone
    old.adopt(ACORN, exported, over=True)
    assert old.outputs(ACORN) == made == old.up(ACORN)
    assert len(vendor.wanted) == calls
    assert [file.read_bytes() for file in (tmp_path / "laptop/state/overtaken").iterdir()] == [older]


def test_a_site_that_was_destroyed_is_believed_in_by_nobody(on: Make, vendor: Vendor) -> None:
    """What is exported after `down` has no host in it: whoever takes that over makes the site anew."""
    old, new = on("laptop"), on("other")
    old.up(ACORN)
    old.down(ACORN)
    emptied = old.state(ACORN)
    assert emptied is not None
    new.adopt(ACORN, emptied)
    assert new.outputs(ACORN) is None
    assert new.up(ACORN).addresses
    assert len(vendor.hosts) == 1


def test_what_is_no_state_is_said(on: Make) -> None:
    """Junk under a state's name brings nothing back."""
    with pytest.raises(MissingPart, match="no state"):
        on("laptop").adopt(ACORN, b"{}")


def test_no_credential_is_in_state_or_logs(
    on: Make, vendor: Vendor, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither token, nor a vendor's credentials, nor a private key: in no file of the state, in nothing logged or printed."""
    caplog.set_level(logging.DEBUG)
    cloud = on("laptop")
    cloud.up(ACORN)
    cloud.down(ACORN)
    cloud.up(ACORN)
    private = vendor.wanted[0]["host_key_private"].splitlines()[2]
    shown = {str(path): path.read_bytes() for path in (tmp_path / "laptop").rglob("*") if path.is_file()}
    captured = capfd.readouterr()
    shown |= {"log": caplog.text.encode(), "printed": (captured.out + captured.err).encode()}
    assert len(shown) > 5
    for secret in (TOKEN, private, "OPENSSH PRIVATE KEY", *CREDENTIALS.values()):
        assert [name for name, data in shown.items() if secret.encode() in data] == [], secret[:6]
    assert not [value for value in CREDENTIALS.values() if value in repr(cloud)]


def test_a_trial_destroys_what_it_made(on: Make, vendor: Vendor) -> None:
    """`scripts/live` in small: made, looked at, made again without a change, and gone; complaints are told."""
    said: list[str] = []
    tried = trial(
        on("laptop"), ACORN, lambda made: [] if made.addresses else ["no address"], said.append, nullcontext()
    )
    assert tried == Tried((), destroyed=True)
    assert [line.split(":")[0] for line in said] == ["up", "look", "up again", "down"]
    assert vendor.hosts == {}


def test_a_trial_destroys_whatever_happens() -> None:
    """A look that fails, or a person who interrupts it: the host goes all the same."""
    state = State()
    cloud = SimCloud(state)

    def fails(made: SiteOutputs) -> list[str]:
        raise VaultError("the host is silent", "no answer", "Wait.")

    def interrupted(made: SiteOutputs) -> list[str]:
        raise KeyboardInterrupt

    assert trial(cloud, ACORN, fails, print, nullcontext()).complaints == ("the host is silent: no answer",)
    with pytest.raises(KeyboardInterrupt):
        trial(cloud, ACORN, interrupted, print, nullcontext())
    assert state.outputs == {}
