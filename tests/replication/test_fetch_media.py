"""Pictures brought to a host: what the app wants first comes first, what rows name comes in their order, and nothing is listed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from resilience.errors import TooFewVaults
from resilience.plaza.store import Store
from resilience.replication import fetch_media, layout, nowhere, patient, seals
from resilience.replication.config import Config, load
from resilience.replication.pictures import Pictures
from tests.replication.chaos import proxied
from tests.replication.conftest import buckets
from tests.replication.harness import Fleet, Site, wait_until
from tests.vault_servers import Store as VaultStore

NAMES = {word: hashlib.sha256(word.encode()).hexdigest() for word in ("ring", "new", "old", "lost", "erased")}
QUERY = {
    "database": "postgres",
    "sql": "SELECT sha256 FROM media ORDER BY wanted",
    "first": "SELECT sha256 FROM media WHERE wanted < 2 ORDER BY wanted",
    "newer": "",
}


@pytest.fixture
def host(sites: Callable[..., Site], fleet: Fleet) -> Site:
    """A host whose rows name five pictures; all vaults hold all but one, which is in none."""
    acorn = sites(fleet, "acorn")
    acorn.begin()
    with acorn.connect() as db:
        db.execute("CREATE TABLE media (sha256 text, wanted int)")
        for wanted, name in enumerate(NAMES.values()):
            db.execute("INSERT INTO media VALUES (%s, %s)", (name, wanted))
    for word in NAMES.keys() - {"lost"}:
        for vault in fleet.vaults().values():
            vault.put_new(layout.media(NAMES[word]), seals.encrypt(word.encode(), [fleet.recipient]))
    return acorn


def config_of(host: Site, **changes: object) -> Config:
    """What fetch-media is told there."""
    return load(host.config(media_query={**QUERY, **changes}))


def here(host: Site) -> set[str]:
    """Which are on the host, by their words."""
    return {word for word, name in NAMES.items() if fetch_media.place(host.folder / "media", name).exists()}


def test_what_is_wanted_first_comes_alone_then_all_else(host: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first, then the others in their rows' order, but what somebody looked for in vain meanwhile; what no vault has is named."""
    asked: list[str] = []
    fetch, app = fetch_media.fetch, Store(host.folder / "media", host.folder / "outbox")

    def watched(folder: Path, name: str, *args: object) -> bool:
        asked.append(name)
        if name == NAMES["old"]:
            for word in ("erased", "new"):
                app.want(NAMES[word])
        return fetch(folder, name, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(fetch_media, "fetch", watched)
    monkeypatch.setattr(fetch_media, "FETCHERS", 1)
    monkeypatch.setattr(fetch_media, "BATCH", 1)
    config = config_of(host)
    app.want(NAMES["erased"])
    assert not (host.folder / "outbox/wanted").exists(), "nobody brings any"
    assert fetch_media.main(config, first=True) == {"objects": 2, "fetched": 2, "lost": []}
    assert here(host) == {"ring", "new"}
    told = fetch_media.main(config)
    assert (told["objects"], told["fetched"], told["lost"]) == (5, 2, [NAMES["lost"]])
    assert asked == [NAMES[word] for word in ("ring", "new", "old", "erased", "lost")]
    assert here(host) == NAMES.keys() - {"lost"}
    assert not (host.folder / "outbox/wanted").exists()


def test_what_is_erased_while_it_is_fetched_goes_again(host: Site) -> None:
    """Whoever erased it did not find it on the host."""
    with host.connect() as db:
        db.execute("CREATE SEQUENCE asked")
    gone = f"CASE WHEN nextval('asked') > 5 THEN '{NAMES['erased']}' ELSE '' END"
    sql = f"SELECT sha256 FROM (SELECT sha256, {gone} AS gone FROM media ORDER BY wanted) m WHERE sha256 <> gone"  # noqa: S608
    fetch_media.main(config_of(host, sql=sql))
    assert here(host) == {"ring", "new", "old"}


def test_what_is_nowhere_is_told_from_what_will_come(host: Site, fleet: Fleet) -> None:
    """One vault that holds it is enough; where so many are silent that k of them could hold it, nobody says it is lost."""
    config = config_of(host).model_copy(update={"named": tuple(NAMES.values())})
    for name in ("birch", "cedar"):
        fleet.vaults()[name].delete(layout.media(NAMES["old"]))
    assert nowhere.main(config) == {"nowhere": [NAMES["lost"]], "silent": {}, "objects": 5}
    assert nowhere.main(config_of(host)) == {"nowhere": [NAMES["lost"]], "silent": {}, "objects": 5}, (
        "rows name them all"
    )
    told = nowhere.main(silent(config, "birch"))
    assert (told["nowhere"], set(told["silent"])) == ([NAMES["lost"]], {"birch"})
    with pytest.raises(TooFewVaults, match="1 pictures are not here"):
        nowhere.main(silent(config, "birch", "cedar"))


def test_where_all_is_here_no_vault_is_asked(host: Site) -> None:
    """What a hot standby has is nobody's business but its own: also where every vault is silent."""
    folder, here = host.folder / "media", {word: name for word, name in NAMES.items() if word != "lost"}
    for word, name in here.items():
        fetch_media.place(folder, name).parent.mkdir(parents=True, exist_ok=True)
        fetch_media.place(folder, name).write_bytes(word.encode())
    config = silent(config_of(host, sql="SELECT sha256 FROM media WHERE wanted <> 3"), "birch", "cedar", "elm")
    assert nowhere.main(config) == {"nowhere": [], "silent": {}, "objects": 4}


def silent(config: Config, *names: str) -> Config:
    """The same where nobody listens at these vaults."""
    moved = [v.model_copy(update={"endpoint": "http://127.0.0.1:9"}) if v.name in names else v for v in config.vaults]
    return config.model_copy(update={"vaults": tuple(moved)})


def test_a_vault_that_hangs_is_asked_something_small_and_then_no_more(
    stores: dict[str, VaultStore], sites: Callable[..., Site]
) -> None:
    """Whether all is somewhere, and all that is lacking, are had from the others; no picture waits for it."""
    with proxied(buckets(stores)) as (fleet, proxies):
        acorn = sites(fleet, "acorn")
        names = {hashlib.sha256(bytes([n])).hexdigest(): bytes([n]) for n in range(60)}
        for vault in fleet.vaults().values():
            for name, plain in names.items():
                vault.put_new(layout.media(name), seals.encrypt(plain, [fleet.recipient]))
        config = load(acorn.config(named=list(names)))
        before = proxies["elm"].requests
        proxies["elm"].hang.clear()
        try:
            assert nowhere.main(config)["nowhere"] == []
            assert fetch_media.main(config) == {"objects": 60, "fetched": 60, "lost": []}
            assert proxies["elm"].requests - before < 10, (
                "twenty pictures were looked for there first, with three tries"
            )
        finally:
            proxies["elm"].be_well()


def test_a_standbys_pictures_do_not_wait_for_a_vault_that_hangs(
    stores: dict[str, VaultStore], sites: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked first, and hangs: the others give all, and none is asked of it. Well again it gives what it alone has."""
    with proxied(buckets(stores)) as (fleet, proxies):
        acorn = sites(fleet, "acorn")
        acorn.begin()
        names = {hashlib.sha256(bytes([n])).hexdigest(): bytes([n]) for n in range(60)}
        only, *others = names
        for vault in fleet.vaults().values():
            for name in [only] if vault.name == "birch" else others:
                vault.put_new(layout.media(name), seals.encrypt(names[name], [fleet.recipient]))
        with acorn.connect() as db:
            db.execute("CREATE TABLE media (id serial, sha256 text)")
            db.cursor().executemany("INSERT INTO media (sha256) VALUES (%s)", [(name,) for name in names])
        newer = "SELECT id, sha256 FROM media WHERE id > %s ORDER BY id LIMIT %s"
        config = load(acorn.config(media_query={**QUERY, "newer": newer}))
        query, vaults, stopping = config.media_query, config.open(), threading.Event()
        assert query is not None
        assert next(iter(vaults)) == "birch"
        proxies["birch"].hang.clear()
        before = proxies["birch"].requests
        pictures = Pictures(config, query, vaults, stopping)
        pictures.start()
        try:
            wait_until(lambda: pictures.seen >= 60 and pictures.lacking == 1, "all that the others have")
            assert proxies["birch"].requests - before < 20, "each of sixty was looked for there first"
            monkeypatch.setattr(patient, "AGAIN", 1.0)
            proxies["birch"].be_well()
            wait_until(lambda: pictures.lacking == 0, "what was in the one that hung")
        finally:
            proxies["birch"].be_well()
            stopping.set()
            pictures.join(60)


def test_what_is_no_pictures_name_is_told_as_lost_and_leads_nowhere(host: Site, tmp_path: Path) -> None:
    """Rows of a hostile primary name paths, and name them only until somebody asks what to remove: nothing there goes, and pictures come."""
    victim = host.folder.parent / f"victim-{host.folder.name}"
    victim.symlink_to("usr/lib")  # a link, as /lib is: no file that could be taken for a picture
    strange = [f"../{victim.name}", str(tmp_path / "absolute"), "..", "", NAMES["new"].upper(), f"{NAMES['new']}\n"]
    (tmp_path / "absolute").touch()
    with host.connect() as db:
        db.execute("CREATE TABLE strange (name text)")
        for name in strange:
            db.execute("INSERT INTO strange VALUES (%s)", (name,))
    once = "SELECT name FROM strange WHERE position('AS ' || 'named (name)' IN current_query()) = 0"
    config = config_of(host, sql=f"SELECT sha256 FROM media UNION ALL {once}")  # noqa: S608 - ours
    try:
        told = fetch_media.main(config)
        assert victim.is_symlink()
    finally:
        victim.unlink(missing_ok=True)
    assert (told["objects"], told["fetched"]) == (len(NAMES) + len(strange), len(NAMES) - 1)
    assert sorted(told["lost"]) == sorted([*strange, NAMES["lost"]])
    assert here(host) == NAMES.keys() - {"lost"}
    assert (tmp_path / "absolute").exists()
