"""Every call on every door fails once, before or after its effect; then the same command is run again."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from resilience.errors import ResilienceError
from resilience.model.fleet import Durability
from tests.sim.plans import PLANS
from tests.sim.stage import attempt
from tests.sim.sweep import How, breaks, broken, tried
from tests.sim.typed import Typed

DAY = int(os.environ.get("RESILIENCE_SWEEP_DAY") or 0)
"""Another day breaks other calls; `scripts/bench sweep` breaks each."""
AT_A_TIME = 16
TYPED_AT_A_TIME = 6
DURABILITIES: tuple[Durability, ...] = ("async", "quorum")


@pytest.mark.parametrize("how", ["error", "killed"])
@pytest.mark.parametrize("name", PLANS)
def test_run_again_it_ends_well(name: str, how: How) -> None:
    """An error or a killed process at any call: the same command, run again, ends well, and no invariant broke."""
    swept, durability = PLANS[name], DURABILITIES[(DAY + (how == "killed")) % 2]
    all_of_them = list(breaks(swept, how, durability))
    every = max(1, len(all_of_them) // AT_A_TIME)
    chosen = all_of_them[DAY // 2 % every :: every]
    found = [tried(swept, planned, durability) for planned in chosen]
    assert len(found) >= AT_A_TIME
    assert how == "error" or all(one.stopped or one.planned.after for one in found)
    assert any(one.stopped for one in found)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("failover", "failover --to birch --lost acorn --hold sign-ups"),
        ("failover --force", "failover --to dover --force"),
        ("restore", "restore --site acorn --at 0/19"),
        ("vaults, one less", "vaults --without elm"),
        ("protect --force", "protect --lost cedar --lost elm --force"),
        ("switchover", "switchover --to birch"),
    ],
)
def test_typed_again_unchanged_it_goes_on(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed, the same command line with the same digest goes on with that plan."""
    typed = Typed(words, monkeypatch, tmp_path)
    swept = typed.swept(PLANS[name])
    all_of_them = list(breaks(swept, "killed"))
    for planned in all_of_them[:: max(1, len(all_of_them) // TYPED_AT_A_TIME)]:
        tried(swept, planned, "async")


@pytest.mark.parametrize(
    ("name", "words", "changed"),
    [
        ("failover", "failover --lost acorn --hold sign-ups", "failover --lost acorn --hold writes"),
        ("failover", "failover --lost acorn --hold sign-ups", "failover --lost acorn --lost elm"),
        ("restore", "restore --site acorn --at 0/19", "restore --site acorn --at 0/18"),
    ],
)
def test_with_another_option_it_is_not_that_plan(
    name: str, words: str, changed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where it was begun to hold writes, or for another moment or loss, its digest does not stand for what is typed now."""
    typed = Typed(words, monkeypatch, tmp_path)
    stage = typed.swept(PLANS[name]).begin("async")
    stage.break_next("plane.acorn.recover" if name == "restore" else "plane.birch.recover", how="killed")
    assert "killed" in str(attempt(partial(typed.type, stage.operator)))
    typed.line = changed
    with pytest.raises(ResilienceError):
        typed.type(stage.operator)
    typed.line = words
    typed.type(stage.operator)
    PLANS[name].ends(stage)


def test_a_vendor_that_closes_in_the_middle() -> None:
    """A second vendor closes at any call: no invariant breaks, and once it is back, going on or a new plan ends well.

    Where it was the last DNS vendor, the failover ended by address: then `protect` leads users there.
    """
    said: Counter[str] = Counter()
    failover = PLANS["failover"]
    for planned in breaks(failover, "closed"):
        if planned.after or planned.door.startswith(("log", "signer", "outside")) or planned.door.endswith("outputs"):
            continue
        stage = failover.begin("async")
        why = broken(stage, failover, planned)
        said[(why or "ended well").split(":")[0]] += 1
        for vendor in stage.state.dead - {"acorn"}:
            stage.state.revive(vendor)
        stage.state.pass_time(1.0)
        if why is not None:
            anew = partial(stage.operator.failover, anew=True)
            assert attempt(stage.operator.failover) is None or attempt(anew) is None, (planned, why)
        if any(event.kind == "name-stays" for event in stage.state.events):
            assert attempt(partial(stage.operator.protect, ("acorn",))) is None, (planned, why)
        assert stage.post(2) == 2, (planned, why)
    assert set(said) == {"ended well", "TooFewVaults", "VendorClosed", "ResilienceError"}
