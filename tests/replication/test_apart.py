"""Pictures where one vault is locked: real ship and stores, an erase, and whoever has every key and every version left."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from resilience.engine.erase import erase
from resilience.errors import VaultError
from resilience.model import VaultSpec
from resilience.plaza.keys import SIZE, Keys, seal, unseal
from resilience.plaza.store import Store as Kept
from resilience.replication import catch_up, fetch_media, layout, nowhere, seals
from resilience.replication.apart import MAGIC
from resilience.replication.config import Config, load
from tests.replication.harness import Fleet, Site, wait_until
from tests.replication.test_ship_faults import without
from tests.sim.stage import day_one
from tests.vault_servers import Store


def names(fleet: Fleet, vault: str) -> dict[str, list[str]]:
    """What a vault shows below `media/`: keys by whether they are whole pictures, headers or payloads."""
    found: dict[str, list[str]] = {"whole": [], "header": [], "payload": []}
    for key in fleet.vaults()[vault].list(layout.MEDIA):
        part = layout.part(key)
        found["whole" if part is None else "header" if part.is_header else "payload"].append(key)
    return found


def versions(spec: VaultSpec, store: Store) -> list[bytes]:
    """Every version of every object below `media/` in an S3 bucket, hidden or not."""
    who: Any = store.credentials["operator"]
    keys = {"aws_access_key_id": who["access_key_id"], "aws_secret_access_key": who["secret_access_key"]}
    client = boto3.client("s3", endpoint_url=spec.endpoint, region_name="us-east-1", **keys)
    pages = client.get_paginator("list_object_versions").paginate(Bucket=spec.bucket, Prefix=layout.MEDIA)
    kept = [(v["Key"], v["VersionId"]) for page in pages for v in page.get("Versions", [])]
    return [client.get_object(Bucket=spec.bucket, Key=k, VersionId=v)["Body"].read() for k, v in kept]


@pytest.fixture
def pictures(sites: Callable[..., Site], locked: Fleet) -> dict[str, bytes]:
    """Three pictures and a person's key that ship put, two times over: the first one was killed while nobody answered at elm."""
    acorn = sites(locked, "acorn")
    first = acorn.ship(without(acorn.ship_config(), "elm"))
    made = {hashlib.sha256(data).hexdigest(): data for data in (os.urandom(size) for size in (*[150_000] * 3, SIZE))}

    def waiting(vault: str) -> int:
        return int(acorn.status()["vaults"][vault]["backlog_objects"])

    for name, data in made.items():
        (acorn.folder / "outbox" / ("key" if len(data) == SIZE else "media") / name).write_bytes(data)
    wait_until(lambda: waiting("cedar") == 0 and waiting("elm") == 4, acorn.told)
    wait_until(lambda: [len(made[path.name]) for path in (acorn.folder / "held/key").iterdir()] == [SIZE], acorn.told)
    wait_until(lambda: acorn.status()["vaults"]["elm"]["error"], acorn.told)
    first.kill()
    first.wait()
    acorn.ship()
    wait_until(lambda: len(names(locked, "elm")["payload"]) == 4, acorn.told)
    wait_until(lambda: not any(map(waiting, locked.stores)), acorn.told)
    acorn.end()
    return made


def test_a_locked_vault_has_what_nobody_can_open(
    sites: Callable[..., Site], locked: Fleet, pictures: dict[str, bytes]
) -> None:
    """Payloads there, whole pictures and headers elsewhere; both parts give a picture back; erased, no key opens it.

    What it lacked when it was left behind is cut for it from whole pictures, by credentials that open nothing.
    """
    payloads = names(locked, "elm")["payload"]
    assert names(locked, "elm") == {"whole": [], "header": [], "payload": payloads}
    for vault in ("birch", "cedar"):
        held = names(locked, vault)
        assert (len(held["whole"]), held["payload"]) == (4, [])
        assert {key.replace(".payload", ".header") for key in payloads} <= set(held["header"])

    gone = next(name for name, data in pictures.items() if len(data) == SIZE)
    damaged = min(pictures.keys() - {gone})
    said = seal(AESGCMSIV(pictures[gone]), "statuses/1", ["what a person wrote"])
    for vault in ("birch", "cedar"):
        locked.vaults()[vault].delete(layout.media(damaged))
    birch = sites(locked, "birch", standby=True)
    assert fetched_of(birch, pictures)["fetched"] == 4
    assert (birch.folder / "media" / damaged[:2] / damaged).read_bytes() == pictures[damaged]
    keys = Keys(Kept(birch.folder / "media", birch.folder / "outbox"))
    assert keys.open(gone, "statuses/1", said) == ["what a person wrote"]

    told = erased(locked, gone)["vaults"]
    assert {name: (told[name]["erased"], told[name]["refused"]) for name in told} == {
        "birch": (1, 0),
        "cedar": (1, 0),
        "elm": (0, 0),
    }
    assert (told["elm"]["payloads"], told["elm"]["until"] > 0) == (1, True)
    with pytest.raises(VaultError, match="could not erase"):
        locked.vaults()["elm"].erase(next(key for key in payloads if layout.picture(key) == gone))
    opened = opened_by_anybody(locked)
    assert opened.keys() == pictures.keys() - {gone}
    assert not any(unseal(AESGCMSIV(data[:SIZE]), "statuses/1", said) for data in opened.values())
    cedar = sites(locked, "cedar", standby=True)
    fetched = fetched_of(cedar, pictures)
    assert (fetched["objects"], fetched["fetched"], fetched["lost"]) == (4, 3, [gone])
    assert nowhere.main(about(cedar, pictures))["nowhere"] == [gone]

    late = hashlib.sha256(b"late").hexdigest()
    locked.vaults()["birch"].put_new(layout.media(late), seals.encrypt(b"late", [locked.recipient]))
    config = about(cedar, [late])
    assert catch_up.main(config, "elm", "0/1000000", "0/1000000")["objects"] == 1
    locked.vaults()["birch"].erase(layout.media(late))
    assert fetch_media.main(config)["fetched"] == 1


def about(site: Site, pictures: Iterable[str]) -> Config:
    """The configuration of a command that is about these pictures."""
    return load(site.config(standby=True)).model_copy(update={"named": tuple(pictures)})


def fetched_of(site: Site, pictures: Iterable[str]) -> dict[str, Any]:
    """What fetch-media says of these."""
    return fetch_media.main(about(site, pictures))


def erased(fleet: Fleet, picture: str) -> dict[str, Any]:
    """The operator's erase, on the real vaults, by a ledger that names one picture."""
    stage = day_one()
    plane: Any = Ledger(picture)
    signer: Any = SimpleNamespace(verify=fleet.check)
    world = replace(stage.world, vaults=fleet.vaults(), plane=plane, signer=signer)
    quick = replace(stage.fleet, replication=replace(stage.fleet.replication, erase_after_days=0.0))
    return erase(world, quick, really=True)


class Ledger:
    """A ledger that names one picture."""

    def __init__(self, picture: str) -> None:
        self.picture = picture

    def removed(self) -> dict[str, Any]:
        """As the data plane reads it."""
        return {"entries": 1, "head": "0" * 64, "pictures": {self.picture: 1}}


def opened_by_anybody(fleet: Fleet) -> dict[str, bytes]:
    """What opens for whoever has the identity and every version that any vault holds, tried in every combination."""
    found: dict[str, bytes] = {}
    data = [body for store, spec in fleet.stores.values() if store.kind == "s3" for body in versions(spec, store)]
    birch = fleet.vaults()["birch"]
    data += [birch.get(key) or b"" for key in birch.list(layout.MEDIA)]
    headers = [body[: body.index(b"\n", body.index(b"\n--- ") + 1) + 1] for body in data if body.startswith(MAGIC)]
    for header, rest in product(headers, [b"", *(body for body in data if not body.startswith(MAGIC))]):
        for body in [header + rest] if rest else [whole for whole in data if whole.startswith(header)]:
            try:
                plain = seals.decrypt(body, fleet.identity)
            except VaultError:
                continue
            found[hashlib.sha256(plain).hexdigest()] = plain
    return found
