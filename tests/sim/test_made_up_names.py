"""A vault's vendor lists names that it made up, each with an object as large as it likes: a few looks, and the others go on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from resilience.adapters import supplies
from resilience.adapters.memory_vault import MemoryVault
from resilience.decide import plan_failover
from resilience.engine.observe import observe, survey_after_loss
from resilience.errors import MissingPart
from resilience.keys import signing_key
from resilience.model import Unknown
from resilience.replication import layout, seals
from resilience.replication.manifest import PREFIX, Manifest, Part
from tests.sim.plans import ORDER, SIGNED, ordered
from tests.sim.stage import Stage, day_one

FEW = 60
"""Looks at one vault, whatever it lists, beside those that an honest one takes."""
LARGE = bytes((1 << 20) + 1)


def made_up(prefix: str, count: int = 1000) -> Iterator[str]:
    """Names such as objects of a kind have."""
    return (f"{prefix}{hashlib.sha256(str(n).encode()).hexdigest()[:16]}.json" for n in range(count))


def lists(stage: Stage, names: Iterable[str], data: bytes) -> None:
    """What elm's vendor put beside what is there."""
    stage.state.vaults["elm"].objects.update(dict.fromkeys(names, data))


def looks(stage: Stage, act: Callable[[], object]) -> int:
    """How many objects elm was asked for meanwhile."""
    before = stage.state.doors.calls["vault.elm.get"]
    act()
    return stage.state.doors.calls["vault.elm.get"] - before


@pytest.mark.parametrize("data", [b"junk", LARGE], ids=["junk", "large"])
def test_orders_without_end_end_no_survey(data: bytes) -> None:
    """The vault counts as one that did not list its orders; what the others show is obeyed."""
    stage = ordered()
    honest = looks(stage, lambda: observe(stage.world, stage.fleet))
    lists(stage, made_up("order/"), data)
    assert looks(stage, lambda: observe(stage.world, stage.fleet)) < honest + FEW
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    assert survey.orders == (ORDER,)
    assert survey.orders_unread == {"elm"}
    hazards = {hazard.name for hazard in plan_failover(stage.fleet, survey, declared=dead).hazards}
    assert "legal-order" in hazards
    assert "missed-order" not in hazards
    stage.operator.sign_offs = (SIGNED,)
    stage.operator.failover("birch")
    assert {"post7", "post8"} <= stage.state.hosts["birch"].hidden


def test_one_order_that_is_too_large_takes_no_other_away() -> None:
    """Altered to be larger than any, in one vault: the others' counts, and that vault's other orders do."""
    stage = ordered()
    (name,) = (key for key in stage.state.vaults["elm"].objects if key.startswith("order/"))
    stage.state.vaults["elm"].objects[name] = LARGE
    survey = observe(stage.world, stage.fleet)
    assert (survey.orders, survey.orders_unread) == ((ORDER,), frozenset())


def test_proofs_of_vaults_that_nobody_has_are_not_read() -> None:
    """A thousand folders of eight proofs each are no look more."""
    stage = day_one()
    honest = looks(stage, lambda: observe(stage.world, stage.fleet))
    lists(stage, (f"verified/v{n}/{at:015d}.json" for n in range(1000) for at in range(8)), b"junk")
    assert looks(stage, lambda: observe(stage.world, stage.fleet)) == honest
    assert not isinstance(observe(stage.world, stage.fleet).vaults["elm"].epoch, Unknown)


class Counted(MemoryVault):
    """A vault that counts what it was asked for."""

    asked = 0

    def get(self, key: str) -> bytes | None:
        """The object."""
        self.asked += 1
        return super().get(key)


@pytest.mark.parametrize("data", [b"junk", LARGE], ids=["junk", "large"])
def test_manifests_without_end_end_nobody_who_looks_for_supplies(data: bytes, tmp_path: Path) -> None:
    """Another vault's is found after a few looks; where there is none, it is told whose are no supplies."""
    (tmp_path / "operator").write_bytes(signing_key())
    key = seals.load_key(tmp_path / "operator")
    elm, birch = Counted("elm"), MemoryVault("birch")
    for name in made_up(PREFIX):
        elm.put_new(name, data)
    check = seals.verifier(seals.public_hex(key))
    with pytest.raises(MissingPart, match="No vault holds supplies") as said:
        supplies.newest({"elm": elm, "birch": birch}, check)
    assert said.value.why.startswith("elm: supplies/signed-")
    assert elm.asked < FEW
    manifest = Manifest((Part("a", "00", 1),), 1.0)
    birch.put_new(manifest.key, manifest.to_bytes(seals.signer(key)))
    assert supplies.newest({"elm": elm, "birch": birch}, check) == manifest


def test_what_is_read_whole_has_a_bound_of_its_own() -> None:
    """A record's, or a file's: nothing that the operator reads by listing may be as large as a package."""
    for beneath in ("", "rehearsal/r1/", "elm/"):
        small = (
            "order/ab.json",
            f"{PREFIX}ab.json",
            "tls/1.json",
            "verified/elm/1.json",
            "epoch/00000001.json",
        )
        assert {layout.most(f"{beneath}{key}") for key in small} == {layout.RECORD}
        assert layout.most(f"{beneath}{layout.state('acorn', 1)}") == layout.FILE
        assert layout.most(f"{beneath}supplies/ab/debs.tar") == layout.ANY
