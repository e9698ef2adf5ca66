"""Mirrors: what is copied out of a vault, what is not, and what nobody removes."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from resilience.adapters.memory_vault import MemoryVault
from resilience.decide import plan_snapshot
from resilience.engine.mirror import look, mirror
from resilience.engine.observe import observe
from resilience.engine.prune import bases
from resilience.model import EpochRecord, Event, Fleet, MirrorReading, Unknown, VaultSpec
from resilience.ports import World
from resilience.render.text import survey_text
from resilience.replication import layout
from resilience.simulation import simulated_fleet
from tests.replication.test_gather import Versioned
from tests.sim.stage import Stage

EPOCH = EpochRecord(1, "acorn", "n", 0, ("birch", "elm"), 1, 2, 0.0, "s")
LABEL = "label/00000001/0000000001000000-abc.json"
ATTIC = VaultSpec("attic", "cedar", "sftp", "sftp://box.test", "vaults", copies_only=True)


def pack(data: bytes) -> str:
    """The name restic gives to a pack of this content."""
    name = hashlib.sha256(data).hexdigest()
    return f"restic/00000001/data/{name[:2]}/{name}"


def filled(name: str) -> MemoryVault:
    """A vault with a snapshot, WAL, and what is of no use elsewhere."""
    vault = MemoryVault(name)
    for key in (LABEL, "wal/00000001/start", "media/1", "restic/00000001/locks/1", "rehearsal/x/y"):
        vault.put_new(key, name.encode())
    vault.put_new(pack(b"pack"), b"pack")
    return vault


def doors(**vaults: MemoryVault) -> World:
    """A World with these vaults and one mirror."""
    return replace(Stage(simulated_fleet()).world, vaults=vaults, mirrors={"attic": MemoryVault("attic")})


def declared() -> Fleet:
    """The simulated fleet with a box beside its vaults."""
    fleet = simulated_fleet()
    return replace(fleet, vaults=(*fleet.vaults, ATTIC))


def held(world: World) -> list[str]:
    """What the mirror holds."""
    return world.mirrors["attic"].list("")


def test_only_what_is_lacking_is_copied() -> None:
    """Snapshot, WAL and pictures below the vault's name; no locks and no rehearsal; the second time nothing."""
    world = doors(birch=filled("birch"), elm=filled("elm"))
    done = mirror(world, EPOCH, "attic")
    assert (done["of"], done["copied"], done["altered"]) == ("birch", 4, [])
    assert held(world) == sorted(f"birch/{key}" for key in (LABEL, "wal/00000001/start", "media/1", pack(b"pack")))
    assert mirror(world, EPOCH, "attic")["copied"] == 0


def test_what_was_altered_is_not_copied_and_no_label_says_it_was() -> None:
    """A pack that is not what its name says stays out, and so does the label, which would say that all of it is there."""
    birch = filled("birch")
    birch.objects[pack(b"pack")] = b"junk"
    world = doors(birch=birch)
    assert mirror(world, EPOCH, "attic")["altered"] == [pack(b"pack")]
    assert held(world) == ["birch/media/1", "birch/wal/00000001/start"]


def test_an_altered_file_that_hosts_are_set_up_from_is_not_copied() -> None:
    """Its folder is the sha256 of what it holds; the snapshot beside it is whole all the same."""
    birch, key = filled("birch"), f"supplies/{hashlib.sha256(b'package').hexdigest()}/package.deb"
    birch.objects[key] = b"altered"
    world = doors(birch=birch)
    assert mirror(world, EPOCH, "attic")["altered"] == [key]
    assert f"birch/{LABEL}" in held(world)
    birch.objects[key] = b"package"
    assert mirror(world, EPOCH, "attic")["copied"] == 1


def test_what_was_written_over_is_copied_as_it_was_put_and_nothing_too_large() -> None:
    """Also where nothing but the versions tells; and what is larger than its kind stops nobody."""
    birch = Versioned("birch")
    for key, data in filled("birch").objects.items():
        birch.put_new(key, data)
    birch.objects[LABEL] = b"as well signed"
    birch.objects[large := layout.chunk(1, 9)] = bytes(layout.CHUNK + 1)
    world = doors(birch=birch)
    assert mirror(world, EPOCH, "attic")["altered"] == [large]
    assert f"birch/{large}" not in held(world)
    assert world.mirrors["attic"].get(f"birch/{LABEL}") == b"birch"


def test_no_key_leads_out_of_the_vaults_own_folder() -> None:
    """A vendor that lists a path instead of a name is not let write over another vault's mirror, or anything else there."""
    birch = filled("birch")
    for key in ("../elm/label/x", "media/../../elm/x", "/etc/x", "media//x", "./x"):
        birch.objects[key] = b"theirs"
    world = doors(birch=birch)
    assert mirror(world, EPOCH, "attic")["copied"] == 4
    assert all(key.startswith("birch/") and "theirs" not in key for key in held(world))
    assert not any(".." in key for key in held(world))


def test_whoever_destroys_the_vault_does_not_destroy_its_mirror() -> None:
    """Nothing is removed from a mirror because a vault lacks it."""
    birch = filled("birch")
    world = doors(birch=birch, elm=filled("elm"))
    mirror(world, EPOCH, "attic")
    before = held(world)
    birch.objects.clear()
    world.log.append(Event(1.0, "mirrored", {"mirror": "attic", "of": "birch"}))
    assert mirror(world, EPOCH, "attic")["of"] == "elm", "birch has no snapshot any more"
    assert [key for key in held(world) if key.startswith("birch/")] == before


def test_it_stays_a_mirror_of_one_vault() -> None:
    """As long as that one is there; the newest snapshot is told, with the vault it is of."""
    world, fleet = doors(birch=filled("birch"), elm=filled("elm")), declared()
    assert look(world, fleet, "attic") is None
    world.log.append(Event(7.0, "mirrored", {"mirror": "attic", "of": "elm"}))
    assert mirror(world, EPOCH, "attic")["of"] == "elm"
    assert look(world, fleet, "attic") == MirrorReading("elm", LABEL, 7.0)


def test_a_mirror_leaves_a_vault_that_keeps_payloads_alone() -> None:
    """Whatever it copied before: a mirror of such a vault has no picture. A locked vault that keeps whole ones is stayed with."""
    world = doors(birch=filled("birch"), elm=filled("elm"))
    world.log.append(Event(7.0, "mirrored", {"mirror": "attic", "of": "elm"}))
    assert mirror(world, EPOCH, "attic", frozenset({"elm"}))["of"] == "birch"
    whole = replace(EPOCH, k=2)
    assert mirror(world, whole, "attic", frozenset({"elm"}))["of"] == "elm"


def test_a_mirror_is_shown_and_never_counted() -> None:
    """It is in no vault set, status shows it apart, and a snapshot's plan brings it up to date last."""
    stage, fleet = Stage(simulated_fleet()), declared()
    assert "attic" not in [spec.name for spec in fleet.vaults_for(fleet.primary.name)]
    stage.operator.up("acorn")
    world = replace(stage.world, mirrors={"attic": MemoryVault("attic")})
    survey = observe(world, fleet)
    shown = survey_text(fleet, survey)
    assert "of none yet: `resilience snapshot`" in shown
    assert observe(world, fleet, frozenset({"acorn"})).mirrors == {"attic": Unknown("not asked now")}
    assert [step.action for step in plan_snapshot(fleet, survey).steps] == ["protect", "mirror"]


def test_a_mirror_is_pruned_by_what_was_proven_in_it() -> None:
    """Only a snapshot that was verified in the mirror itself, and long enough ago, lets older ones go there."""
    world, fleet = doors(birch=filled("birch")), declared()
    world.log.append(Event(0.0, "verified", {"vault": "attic", "ok": False, "snapshot": "bad"}))
    assert bases(world, fleet) == {}
    world.log.append(Event(-100 * 86400.0, "verified", {"vault": "attic", "ok": True, "snapshot": "abc"}))
    assert bases(world, fleet) == {"attic": ("abc",)}
    assert bases(world.without(frozenset({"attic"})), fleet) == {}
