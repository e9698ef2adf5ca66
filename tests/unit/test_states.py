"""A stack's state in the vaults: whatever a vault's vendor puts there, only what the operator signed for this very stack comes back."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.engine.stack_state import keep
from resilience.errors import MissingPart, TooFewVaults, VaultError
from resilience.keys import signing_key
from resilience.replication import listed, seals, states
from tests.sim.stage import Stage, day_one

ACORN = states.Stack("plaza", "acorn")


class Keys(NamedTuple):
    """The operator's signature, that of somebody who runs a vault, and the check of the former."""

    operator: seals.Sign
    vendor: seals.Sign
    check: seals.Verify


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Fresh ones."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("operator", "vendor"):
        (folder / name).write_bytes(signing_key())
    operator, vendor = (seals.load_key(folder / name) for name in ("operator", "vendor"))
    return Keys(seals.signer(operator), seals.signer(vendor), seals.verifier(seals.public_hex(operator)))


def vault(name: str, **objects: bytes) -> MemoryVault:
    """A vault with these states of acorn, by their moment."""
    made = MemoryVault(name)
    for at, data in objects.items():
        made.put_new(f"state/acorn/{at.removeprefix('at')}.json", data)
    return made


class Dead(MemoryVault):
    """A vault that answers nothing."""

    def list(self, prefix: str) -> list[str]:
        """No answer."""
        raise VaultError("fir could not list", "no answer", "Wait.")


def test_the_newest_of_all_vaults_is_taken(keys: Keys) -> None:
    """By the moment that was signed, whichever vault holds it; junk names and silent vaults are passed over, and told."""
    elm = vault("elm", at900=states.encode(ACORN, 900, b"older", keys.operator))
    oak = vault("oak", at1000=states.encode(ACORN, 1000, b"newest", keys.operator), zzz=b"junk")
    oak.put_new("state/acorns/2000.json", b"another site's")
    found = states.newest({"elm": elm, "oak": oak, "fir": Dead("fir")}, ACORN, keys.check)
    assert (found.vault, found.key, found.sealed) == ("oak", "state/acorn/1000.json", b"newest")
    assert (found.passed_over, found.silent) == ((), ("fir",))
    with pytest.raises(MissingPart, match="holds a state") as said:
        states.newest({"fir": Dead("fir")}, ACORN, keys.check)
    assert "fir" in said.value.why


HOW = (
    "as it was put before states were signed",
    "without a signature",
    "signed by itself",
    "altered",
    "an old one under a new name",
    "another stack's",
    "another fleet's",
    "signed for something else",
    "no object at all",
    "cut off",
)


def forgeries(keys: Keys) -> dict[str, bytes]:
    """What a vault's vendor could put as the state of moment 2000: it knows the recipients, and everything that was ever put."""
    true = states.encode(ACORN, 1000, b"true", keys.operator)
    altered = {**json.loads(states.encode(ACORN, 2000, b"true", keys.operator)), "sealed": "Zm9yZ2Vk"}
    endorsed = seals.sign_json({"format": "resilience-sealed/1", "number": 2, "nonce": "00"}, keys.operator)
    return {
        "as it was put before states were signed": b"age-encryption.org/v1 -> X25519 ...",
        "without a signature": json.dumps({k: v for k, v in json.loads(true).items() if k != "signature"}).encode(),
        "signed by itself": states.encode(ACORN, 2000, b"forged", keys.vendor),
        "altered": seals.canonical(altered),
        "an old one under a new name": true,
        "another stack's": states.encode(states.Stack("plaza", "birch"), 2000, b"birch's", keys.operator),
        "another fleet's": states.encode(states.Stack("other", "acorn"), 2000, b"other's", keys.operator),
        "signed for something else": seals.canonical(endorsed),
        "no object at all": b"[]",
        "cut off": true[:-9],
    }


@pytest.mark.parametrize("how", HOW)
def test_what_was_forged_is_not_believed(keys: Keys, how: str) -> None:
    """The next object of that vault, or another vault's, is taken instead; which one was not believed is told."""
    forged, true = forgeries(keys)[how], states.encode(ACORN, 1000, b"true", keys.operator)
    bad = vault("bad", at2000=forged)
    for good in (vault("bad", at2000=forged, at1000=true), vault("good", at1000=true)):
        found = states.newest({"bad": bad, good.name: good}, ACORN, keys.check)
        assert (found.vault, found.at_ms, found.sealed) == (good.name, 1000, b"true")
        assert "state/acorn/2000.json" in found.passed_over[0]
    with pytest.raises(MissingPart, match="the operator signed") as said:
        states.newest({"bad": bad}, ACORN, keys.check)
    assert "bad: state/acorn/2000.json" in said.value.why


def test_a_vault_full_of_forgeries_is_left_for_the_next(keys: Keys) -> None:
    """A thousand made-up states cost a few looks, and hide what the other vaults hold from nobody."""
    bad = vault("bad", **{f"at{number}": b"junk" for number in range(5000, 6000)})
    good = vault("good", at1000=states.encode(ACORN, 1000, b"true", keys.operator))
    found = states.newest({"bad": bad, "good": good}, ACORN, keys.check)
    assert (found.sealed, len(found.passed_over)) == (b"true", listed.TRIES)


def test_what_a_command_keeps_is_signed_and_comes_back() -> None:
    """After a first day every vault holds a state that is believed, as the state of this fleet and stack only."""
    stage = day_one()
    check = stage.world.signer.verify
    for name in ("birch", "cedar", "elm"):
        one = {name: stage.world.vaults[name]}
        assert states.newest(one, states.Stack("plaza", "acorn"), check).sealed == b"acorn"
        with pytest.raises(MissingPart):
            states.newest(one, states.Stack("plaza-two", "acorn"), check)


def taken_in_elm(stage: Stage) -> str:
    """Junk where the next state would go, in one vault; the name."""
    taken = f"state/acorn/{round(stage.world.clock.now() * 1000)}.json"
    stage.state.vaults["elm"].objects[taken] = b"junk"
    return taken


def test_a_name_that_is_taken_holds_nothing() -> None:
    """A vendor that put something first under the very name does not count as holding the state; where all did, it stops."""
    stage = day_one()
    taken = taken_in_elm(stage)
    kept = keep(stage.world, "plaza", stage.fleet.site("acorn"), ("birch", "cedar", "elm"))
    assert (kept["key"], kept["vaults"], kept["doubts"]) == (
        taken,
        ["birch", "cedar"],
        {"elm": f"elm holds another object as {taken}"},
    )
    taken_in_elm(stage)
    with pytest.raises(TooFewVaults, match="in no vault"):
        keep(stage.world, "plaza", stage.fleet.site("acorn"), ("elm",))
