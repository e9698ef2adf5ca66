"""Pictures that are brought ahead of a planned move: what vaults list, before there are rows that name it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.model import EpochRecord
from resilience.replication import epoch, fetch_media, layout, seals
from resilience.replication.config import Config, load

WORDS = ("ring", "new", "old", "older")
IDENTITY = pyrage.x25519.Identity.generate()


def name(word: str) -> str:
    """What a picture is called."""
    return hashlib.sha256(word.encode()).hexdigest()


def put(vault: MemoryVault, word: str) -> None:
    """As ship puts a picture."""
    vault.put_new(layout.media(name(word)), seals.encrypt(word.encode(), [str(IDENTITY.to_public())]))


@pytest.fixture
def vaults() -> dict[str, MemoryVault]:
    """Three vaults: each picture is in two of them; one is spoiled in all."""
    vaults = {vault: MemoryVault(vault) for vault in ("birch", "cedar", "elm")}
    for number, word in enumerate(WORDS):
        for turn in (0, 1):
            put(list(vaults.values())[(number + turn) % 3], word)
    for vault in vaults.values():
        vault.put_new(layout.media(name("spoiled")), b"no picture")
    return vaults


@pytest.fixture
def config(tmp_path: Path, vaults: dict[str, MemoryVault], monkeypatch: pytest.MonkeyPatch) -> Config:
    """A host to which the app is about to move: an older epoch names another site, and no Postgres runs."""
    operator = Ed25519PrivateKey.generate()
    bare = EpochRecord(1, "acorn", "n", 0, tuple(vaults), 2, 2, 0.0, "", "")
    record = replace(bare, signature=operator.sign(epoch.payload(bare)).hex())
    names = ("pg", "media", "ledger", "outbox", "held", "spool", "wal", "run")
    (tmp_path / "media").mkdir()
    told = {
        "site": "birch",
        "fleet": "test",
        "epoch": asdict(record),
        "operator_public_key": seals.public_hex(operator),
        "recipients": [str(IDENTITY.to_public())],
        "identity": str(IDENTITY),
        "standby": True,
        "vaults": [],
        "paths": {**{part: str(tmp_path / part) for part in names}, "restic": "/none"},
        "postgres": {"dsn": "host=/none", "start": ["false"], "stop": ["false"], "bin": "/none"},
    }
    (tmp_path / "config.json").write_text(json.dumps(told))
    monkeypatch.setattr(fetch_media, "sounded_out", lambda _opened: vaults)
    return load(tmp_path / "config.json")


def here(config: Config) -> set[str]:
    """The names of all pictures on the host."""
    return {path.name for path in config.paths.media.rglob("*") if path.is_file()}


def test_all_that_opens_is_brought_and_what_opens_nowhere_is_named(config: Config) -> None:
    """From whichever vault has it as it was; a second time nothing is left to bring."""
    found = fetch_media.main(config, listed=True)
    assert found == {"objects": 5, "fetched": 4, "lost": [name("spoiled")], "left": 0}
    assert here(config) == {name(word) for word in WORDS}
    assert fetch_media.main(config, listed=True) == {**found, "fetched": 0}


def test_what_is_put_meanwhile_comes_too_until_little_does(
    config: Config, vaults: dict[str, MemoryVault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vaults are listed again after each round, and no more once only few came since."""
    fetch, late, asked = fetch_media.fetch, [f"late {n}" for n in range(4)], list[str]()

    def meanwhile(folder: Path, picture: str, *args: object) -> bool:
        if picture not in asked and late:
            put(vaults["elm"], late.pop())
        asked.append(picture)
        return fetch(folder, picture, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(fetch_media, "fetch", meanwhile)
    monkeypatch.setattr(fetch_media, "FETCHERS", 1)
    monkeypatch.setattr(fetch_media, "BATCH", 2)
    found = fetch_media.main(config, listed=True)
    assert (found["fetched"], found["lost"], found["left"]) == (8, [name("spoiled")], 0)
    assert len(asked) == len(set(asked))


def test_it_ends_when_its_time_is_over(config: Config) -> None:
    """What was not brought is counted, and comes once the site is open."""
    found = fetch_media.main(config, listed=True, within=-1.0)
    assert found == {"objects": 5, "fetched": 0, "lost": [], "left": 5}
    assert here(config) == set()


def test_a_silent_vault_is_done_without(config: Config, vaults: dict[str, MemoryVault]) -> None:
    """The others list what k of them hold."""
    vaults["cedar"].close()
    with pytest.raises(VaultError):
        vaults["cedar"].list("")
    found = fetch_media.main(config, listed=True)
    assert (found["objects"], found["fetched"]) == (5, 4)
