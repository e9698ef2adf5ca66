"""What restore and recover do when the vaults, or the host, are not as they should be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience import caches
from resilience.engine.mirror import mirror
from resilience.errors import ShortRecovery
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication import layout, lsn, proof, seals
from resilience.replication.config import VaultConfig
from resilience.replication.mirrored import Mirrored, within
from resilience.replication.patient import PATIENCE
from resilience.replication.recover import Check
from resilience.replication.restic import Repository
from resilience.replication.segments import Segments
from resilience.replication.vaults import open_vault, place
from resilience.simulation import simulated_fleet
from tests.replication import kills, thief
from tests.replication.chaos import proxied
from tests.replication.conftest import buckets
from tests.replication.harness import Fleet, Site, pem, wait_until
from tests.sftp_box import Box, sftp_box
from tests.sim.stage import Stage
from tests.vault_proxy import Proxy
from tests.vault_servers import Store

LONG_S = 150.0
PATIENT = f"""
from resilience.adapters import s3, s3_direct
usual = s3.Config
s3.Config = lambda **told: usual(**told | {{"read_timeout": {LONG_S}}})
s3_direct.TIMEOUTS_S = (2, {LONG_S})
"""
"""One try at a vault that hangs takes longer than all else may, also on a machine that is busy."""


def chunks(fleet: Fleet) -> list[str]:
    """Names of the chunks in the first epoch."""
    return [key for key in fleet.vaults()["elm"].list(layout.wal(1)) if layout.chunk_start(key) is not None]


def test_missing_and_altered_in_one_vault_heal(sites: Callable[..., Site], lost: Fleet) -> None:
    """Each vault lacks or has altered another chunk: all rows are there, and what was healed is told."""
    keys = chunks(lost)
    vaults = lost.vaults()
    vaults["birch"].delete(keys[-2])
    vaults["cedar"].delete(keys[-1])
    lost.alter("elm", keys[-3])
    birch = sites(lost, "birch")
    merged = birch.run("restore")
    birch.run("recover", config=birch.config(durability="quorum"))
    assert birch.rows() == list(range(1, 201))
    assert birch.skipped_numbers(), (
        "a commit may have waited for nobody by its own wish, or before the fleet was one of quorum"
    )
    assert vaults["birch"].exists(keys[-2]), "put again where it was lacking"
    assert vaults["cedar"].exists(keys[-1])
    assert all("altered" in what or "lacked" in what for what in merged["healed"])


def test_missing_in_all_is_never_promoted(sites: Callable[..., Site], lost: Fleet) -> None:
    """A chunk that no vault has: the error says which and up to when data is good, and recover refuses."""
    missing = chunks(lost)[-3]
    for vault in lost.vaults().values():
        vault.delete(missing)
    birch = sites(lost, "birch")
    error = birch.run("restore", fails=True)
    start = lsn.show(layout.chunk_start(missing) or 0)
    assert error["kind"] == "BrokenChain"
    assert f"from {start} to" in error["missing"]
    assert error["good_until"].startswith(start)
    assert birch.run("recover", fails=True)["kind"] == "Refused"
    assert not lost.vaults()["elm"].exists(layout.opening(2))
    accepted = birch.run("restore", config=birch.config(accept_end=start))
    assert accepted["end_lsn"] == start
    birch.run("recover", config=birch.config(durability="quorum"))
    assert birch.rows() == list(range(1, len(birch.rows()) + 1))
    assert birch.skipped_numbers(), "what lay past the accepted end was acknowledged"


def test_a_short_replay_is_never_promoted(sites: Callable[..., Site], lost: Fleet) -> None:
    """One flipped bit in the WAL that Postgres reads, then none of it: it would promote with what it has; we do not."""
    birch = sites(lost, "birch")
    merged = birch.run("restore")
    end = lsn.parse(merged["end_lsn"])
    path = birch.pg / "pg_wal" / lsn.segment_name(1, end - 4096, 1 << 20)
    data = bytearray(path.read_bytes())
    data[(end - 4096) % (1 << 20)] ^= 1
    path.write_bytes(bytes(data))
    error = birch.run("recover", fails=True)
    assert error["kind"] == "ShortRecovery", error
    path.unlink()
    error = birch.run("recover", fails=True)
    assert "not on this host" in error["why"], error
    with birch.connect() as db:
        assert db.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def test_a_snapshot_that_breaks_half_way_comes_from_another_vault(sites: Callable[..., Site], lost: Fleet) -> None:
    """A vault whose snapshot lost one pack of many is passed over; the half-made copy does not stay. Proven ones go first."""
    for name in ("birch", "elm"):
        prove(lost, name)
    vault = lost.vaults()["birch"]
    packs = {key: len(vault.get(key) or b"") for key in vault.list("restic/00000001/data/")}
    assert len(packs) > 1
    vault.delete(max(packs, key=packs.__getitem__))
    birch = sites(lost, "birch")
    assert birch.run("restore")["snapshot_vault"] == "elm"
    birch.run("recover")
    assert birch.rows() == list(range(1, 201))


def prove(fleet: Fleet, name: str) -> None:
    """The operator's word that this vault gave its newest snapshot back."""
    found = layout.labelled(fleet.vaults()[name].list(layout.LABEL)[-1])
    assert found is not None
    told = proof.encode("test", name, 1.0, {"ok": True, "snapshot": found[0]}, seals.signer(fleet.operator))
    fleet.vaults()[name].put_new(layout.verified(name, 1000), told)


def test_a_forged_label_is_not_believed(sites: Callable[..., Site], lost: Fleet) -> None:
    """An altered label leaves that vault's snapshot unused; without any label nothing is restored."""
    vaults = lost.vaults()
    for name, vault in vaults.items():
        (key,) = vault.list(layout.LABEL)
        value = json.loads(vault.get(key) or b"")
        vault.delete(key)
        vault.put_new(key, json.dumps({**value, "start_lsn": "0/0"}).encode())
        assert name == value["vault"]
    error = sites(lost, "birch").run("restore", fails=True)
    assert "No vault holds a snapshot" in error["what"]


def test_what_a_thief_labels_stops_nothing(sites: Callable[..., Site], lost: Fleet, tmp_path: Path) -> None:
    """With the site's key and all that the host may put, no label leads a restore away from the true snapshot.

    They name snapshots that are not there, lie past the end, are of another machine, or say nonsense; some are
    back-dated, some of tomorrow, and all are in every vault. The newest is of a folder full of links: nothing is written through any.
    """
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "authorized_keys").write_text("mine")
    vaults, sign = lost.vaults(), seals.signer(lost.keys[1])
    record = replace(lost.record("birch", lost.keys[1]), signature="0" * 128)
    for name, vault in vaults.items():
        true = labels.decode(vault.get(vault.list(layout.LABEL)[0]) or b"", lost.records[0], lost.check)
        assert true is not None
        other = {**true.versions, "arch": "sparc"}
        for forged in (
            replace(true, snapshot="ab" * 32, start_lsn="0/7000000", stop_lsn="0/7000100", at=0.0),
            replace(true, start_lsn="0/8000000", stop_lsn="0/1", at=9e9),
            replace(true, start_lsn="0/9000000", stop_lsn="0/9000100", at=0.0),
            replace(true, start_lsn="0/A000000", stop_lsn="0/A000100", versions=other),
            replace(true, start_lsn="0/B000000", stop_lsn="0/B000100", versions={}),
            replace(true, start_lsn="0/C000000", stop_lsn="0/C000100", segment_size=0),
        ):
            assert vault.put_new(forged.key, labels.encode(forged, sign)), name
        assert vault.put_new(layout.epoch(9), epochs.encode(replace(record, number=9, parent=8))), "a forged epoch"
    birch = sites(lost, "birch")
    thief.plant(lost, birch, thief.make_up(tmp_path, victim), list(vaults))
    birch.run("restore")
    told = (birch.folder / "restore.log").read_text()
    assert told.count("This copy was not made by our snapshot: ") == len(vaults), told
    birch.run("recover")
    assert birch.rows() == list(range(1, 201))
    assert [(path.name, path.read_text()) for path in victim.iterdir()] == [("authorized_keys", "mine")]


@pytest.fixture
def small_disk(sites: Callable[..., Site], lost: Fleet) -> Iterator[Site]:
    """A host whose disk holds half of the database."""
    made = sites(lost, "birch")
    folder = str(made.folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", folder], check=True)
    birch = Site(made.folder.parent, "birch", lost, made.record)
    try:
        yield birch
    finally:
        birch.end()
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_gone_on_from(small_disk: Site) -> None:
    """How much was to come and how much there is; once there is room the same command brings all of it."""
    for _ in range(2):
        error = small_disk.run("restore", fails=True)
        assert (error["kind"], error["what"]) == ("DiskFull", f"The disk that holds {small_disk.pg} is full."), error
        assert re.match(r"\d+ MB were to come, \d+ MB are free", error["why"]), error
    assert small_disk.run("recover", fails=True)["kind"] == "Refused"
    subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk.folder)], check=True)
    small_disk.run("restore")
    small_disk.run("recover")
    assert small_disk.rows() == list(range(1, 201))


@pytest.fixture
def behind(stores: dict[str, Store], history: Fleet) -> Iterator[tuple[Fleet, dict[str, Proxy]]]:
    """The lost primary's vaults behind proxies that can do harm."""
    with proxied(buckets(stores)) as (fleet, proxies):
        yield history.copy(fleet.stores), proxies


def killed_while_restic_waits(site: Site, proxies: dict[str, Proxy]) -> None:
    """SIGKILL for a restore whose vaults give no files."""
    for each in proxies.values():
        each.only = "/data/"
        each.hang.clear()
    process = kills.begin(site, "restore", site.config())
    wait_until(lambda: kills.restics(site), "restic")
    assert kills.marker(site)["state"] == "restoring"
    process.kill()
    process.wait()
    wait_until(lambda: not kills.restics(site), "restic to end with its caller")
    for each in proxies.values():
        each.be_well()


def test_a_vault_that_gives_nothing_is_left(behind: tuple[Fleet, dict[str, Proxy]], sites: Callable[..., Site]) -> None:
    """A vault that cuts every body in half is asked no more after 10 s (one that was asked little by then, not at all), and the others give all."""
    lost, proxies = behind
    birch = sites(lost, "birch")
    proxies["birch"].truncate = True
    began = time.monotonic()
    assert birch.run("restore", config=birch.config(sealed=["cedar", "elm"]))["snapshot_vault"] != "birch"
    took = time.monotonic() - began
    told = [json.loads(line)["event"] for line in (birch.folder / "restore.log").read_text().splitlines()]
    left = told.count("a vault gives nothing and is asked no more")
    assert left == 1 or took < PATIENCE * 2, told
    birch.run("recover")
    assert birch.rows() == list(range(1, 201))


def test_a_vault_that_hangs_is_waited_for_once(
    behind: tuple[Fleet, dict[str, Proxy]], sites: Callable[..., Site]
) -> None:
    """An S3 vault answers nothing, neither what is asked nor what is put: 10 s for the first question, and two others have all."""
    lost, proxies = behind
    birch = sites(lost, "birch")
    birch.begin_with(PATIENT)
    proxies["elm"].hang.clear()
    began = time.monotonic()
    assert birch.run("restore", config=birch.config(sealed=["birch", "cedar"]))["snapshot_vault"] != "elm"
    took = time.monotonic() - began
    proxies["elm"].be_well()
    birch.run("recover")
    assert birch.rows() == list(range(1, 201))
    assert took < LONG_S, "nobody waits until a client gives up"
    held = {name: vault.exists(layout.opening(birch.record.number)) for name, vault in lost.vaults().items()}
    assert held["birch"], held
    assert held["cedar"], held


def test_a_vault_that_begins_to_hang_is_not_waited_for_at_its_puts(
    behind: tuple[Fleet, dict[str, Proxy]], sites: Callable[..., Site]
) -> None:
    """It gives all it is asked for, and then takes nothing: 10 s for all puts together, once two others have everything."""
    lost, proxies = behind
    birch = sites(lost, "birch")
    birch.begin_with(PATIENT)
    proxies["elm"].writes_only = True
    proxies["elm"].hang.clear()
    began = time.monotonic()
    birch.run("restore")
    took = time.monotonic() - began
    proxies["elm"].be_well()
    birch.run("recover")
    assert birch.rows() == list(range(1, 201))
    assert took < LONG_S, "nobody waits until a client gives up"
    held = {name: vault.exists(layout.opening(birch.record.number)) for name, vault in lost.vaults().items()}
    assert held["birch"], held
    assert held["cedar"], held


def test_somebody_elses_data_is_not_touched(
    behind: tuple[Fleet, dict[str, Proxy]], sites: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data directory that is not from our own earlier attempt is refused; one that the disk did not take is redone.

    So is what a standby left that was still being made. Killed, restore takes its restic with it; killed before it could say
    whose the directory is, it goes on.
    """
    lost, proxies = behind
    birch = sites(lost, "birch")
    birch.pg.mkdir()
    (birch.pg / "PG_VERSION").write_text("15\n")
    assert birch.run("restore", fails=True)["kind"] == "Refused"
    (birch.pg / "resilience.json").write_text(json.dumps({"nonce": "a standby's", "epoch": 1, "state": "cloning"}))
    killed_while_restic_waits(birch, proxies)
    birch.pg.rename(birch.folder / "aside")
    birch.pg.mkdir()
    (birch.pg / ".resilience.json.new").touch()
    birch.fsync = True
    failing = birch.folder / "failing/sync"
    failing.parent.mkdir()
    failing.write_text("#!/bin/sh\necho 'sync: Input/output error' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{failing.parent}:{os.environ['PATH']}")
    assert "Input/output error" in birch.run("restore", fails=True)["why"]
    assert birch.run("recover", fails=True)["kind"] == "Refused", "it may be gone after a power cut"
    failing.unlink()
    birch.run("restore")
    birch.run("recover")
    assert birch.rows() == list(range(1, 201))


def test_a_promotion_that_was_cut_short_is_judged_once(tmp_path: Path) -> None:
    """Postgres removes WAL before it notes its promotion: what was judged while that was there is not judged again, all else is."""
    segments = Segments(tmp_path, 1 << 20)
    check = Check(segments, 1, 0x3000100, 0x2FFFF00, "0/2FFFF80")
    check(0x2FFFF80)
    with pytest.raises(ShortRecovery):
        check(0x2FFFF00)


def test_a_vault_lost_after_the_seal(sites: Callable[..., Site], lost: Fleet) -> None:
    """Two vaults are enough when the third is gone for good, as long as it was not needed to seal; one of three is not."""
    birch = sites(lost, "birch")
    path = birch.config(sealed=["birch", "cedar"])
    value = json.loads(path.read_text())
    for vault in value["vaults"]:
        if vault["name"] == "elm":
            vault["endpoint"] = "http://127.0.0.1:9"
    path.write_text(json.dumps(value))
    path.write_text(json.dumps({**value, "sealed": ["birch"]}))
    unseen = birch.run("restore", config=path, fails=True)
    assert unseen["kind"] == "BrokenChain", "two of three may hold what was confirmed, and nobody asked them"
    assert "what only cedar, elm may hold of epoch 1" in unseen["what"]
    path.write_text(json.dumps(value))
    birch.run("restore", config=path)
    birch.run("recover", config=path)
    assert birch.rows() == list(range(1, 201))
    path.write_text(json.dumps({**value, "sealed": ["birch", "cedar", "elm"]}))
    cedar = sites(lost, "cedar")
    other = json.loads(cedar.config().read_text())
    path.write_text(json.dumps({**other, "vaults": value["vaults"]}))
    assert cedar.run("restore", config=path, fails=True)["kind"] == "TooFewVaults"


def test_a_wrong_key_restores_nothing(sites: Callable[..., Site], lost: Fleet) -> None:
    """Another identity, none, another signing key or restic password: each error says which, and nothing is promoted.

    With the right ones every row is there.
    """
    birch = sites(lost, "birch")
    other = str(pyrage.x25519.Identity.generate())
    assert "decrypted" in str(birch.run("restore", config=birch.config(identity=other), fails=True))
    assert birch.run("restore", config=birch.config(identity=None), fails=True)["kind"] == "UsageError"
    (birch.folder / "other.key").write_bytes(pem(Ed25519PrivateKey.generate()))
    path = birch.config(signing_key_file=str(birch.folder / "other.key"))
    assert "is not the one that epoch 2 names" in birch.run("restore", config=path, fails=True)["what"]
    value = json.loads(birch.config().read_text())
    for vault in value["vaults"]:
        vault["restic_password"] = "wrong"
    path = birch.config(vaults=value["vaults"])
    assert "can be used" in birch.run("restore", config=path, fails=True)["what"]
    assert "password" in (birch.folder / "restore.log").read_text()
    assert not lost.vaults()["elm"].exists(layout.opening(2))
    assert birch.run("recover", fails=True)["kind"] == "Refused"
    birch.run("restore")
    birch.run("recover")
    assert birch.rows() == list(range(1, 201))


def test_a_snapshot_comes_from_the_mirror_when_every_vault_fails(sites: Callable[..., Site], lost: Fleet) -> None:
    """All vaults lose their snapshots' data: the mirror gives one, the vaults the WAL since; by itself it is a whole copy."""
    with sftp_box() as box:
        attic = open_vault(box.spec("attic"), box.credentials["operator"])
        world = replace(Stage(simulated_fleet()).world, vaults=lost.vaults(), mirrors={"attic": attic})
        done = mirror(world, lost.records[-1], "attic")
        assert (done["of"], done["altered"]) == ("birch", [])
        assert mirror(world, lost.records[-1], "attic")["copied"] == 0, "only what is lacking"
        for vault in lost.vaults().values():
            for key in vault.list("restic/00000001/data/"):
                vault.delete(key)
        birch = sites(lost, "birch")
        assert birch.run("restore", fails=True)["kind"] == "NoSnapshot"
        held = _mirrored(box, "attic", "birch")
        assert birch.run("restore", config=birch.config(mirrors=[held]))["snapshot_vault"] == "attic"
        birch.run("recover")
        assert birch.rows() == list(range(1, 201))
        reader = sites(lost, "reader", standby=True)
        alone = reader.config(standby=True, signing_key_file=None, vaults=[held["stands_for"]], sealed=["birch"])
        told = reader.run("verify", "--vault", "birch", config=alone)
        assert told["rows"] == 200
        own = {**held["stands_for"], "credentials": box.credentials["operator"]}
        config = reader.config(standby=True, signing_key_file=None, vaults=[own], sealed=["birch"])
        gone = reader.run("prune", "--vault", "birch", "--proven", told["snapshot"], "--really", config=config)
        assert (gone["snapshots"], gone["removed"]) == (0, True)
        there = Repository(caches.restic(), VaultConfig(**own), layout.repository(1))
        there.forget([told["snapshot"]])
        assert there.snapshots() == [], "the operator's account removes, what only the reader's could not"


def _mirrored(box: Box, name: str, of: str) -> dict[str, Any]:
    """What a host is told of a mirror: a vault at the mirror's place, with the labels that the operator read there."""
    held = Mirrored(open_vault(box.spec(name), box.credentials["reader"]), within(of), of)
    where = place(replace(box.spec(name), name=of, within=within(of)))
    return {
        "name": name,
        "labels": {key: (held.get(key) or b"").decode() for key in held.list("label/")},
        "stands_for": {**where, "credentials": box.credentials["reader"], "restic_password": "loopback-only"},
    }
