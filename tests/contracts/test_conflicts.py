"""A store that answers 409 to a create: nobody counts its vault for an object that it never got."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import layout
from resilience.replication.courier import Courier
from resilience.replication.outbox import Outbox
from resilience.replication.spool import Spool
from resilience.replication.vaults import open_vault
from tests.replication.harness import wait_until
from tests.vault_proxy import Proxy, proxy
from tests.vault_servers import Store, make_bucket, seaweed

NAMES = (f"conflict{n}" for n in count())
RECORD = EpochRecord(1, "acorn", "nonce", 0, ("birch", "elm"), 2, 1, 1.0, "", "")
EMPTIED = SimpleNamespace(times=lambda _: 0)
LEASE: Any = SimpleNamespace(look=lambda _: True, following=None, superseded=None, emptied=EMPTIED)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A real store."""
    with seaweed(tmp_path_factory.mktemp("store")) as made:
        yield made


@pytest.fixture
def between(store: Store) -> Iterator[Proxy]:
    """What stands before the store, and says for now that each create conflicts with another one."""
    with proxy(store.spec("").endpoint) as made:
        made.status, made.writes_only, made.code = 409, True, "ConditionalRequestConflict"
        yield made


@pytest.fixture
def elm(store: Store, between: Proxy) -> Vault:
    """A vault behind it, as ship may use it: what is put there can't be read back."""
    spec = make_bucket(store, next(NAMES))
    vault = open_vault(replace(spec, name="elm", endpoint=between.endpoint), store.credentials["operator"])

    def denied(key: str) -> bytes | None:
        raise VaultError(f"elm could not get {key}", "AccessDenied: ship may not read it", "")

    vault.get = denied  # type: ignore[method-assign]
    return vault


def test_a_courier_puts_until_the_chunk_is_there(tmp_path: Path, elm: Vault, between: Proxy) -> None:
    """The vault counts for nothing while its store says so, another is not delayed, and all is there once it ends."""
    spool = Spool(tmp_path, 1, RECORD.vaults)
    spool.floor(100)
    spool.add(100, 200, b"the chunk")
    couriers = [Courier(vault, spool, RECORD, LEASE, lambda: None) for vault in (MemoryVault("birch"), elm)]
    for courier in couriers:
        courier.progress = courier.progress._replace(begun=True, put=100)
        courier.start()
    try:
        wait_until(lambda: spool.held()["birch"] == 200 and couriers[1].failures, "an error, and the other vault")
        assert spool.held()["elm"] == couriers[1].put_upto == 100
        assert "could not put" in str(couriers[1].error)
        assert not elm.exists(layout.chunk(1, 100))
        between.be_well()
        wait_until(lambda: spool.held()["elm"] == 200, "the chunk")
        assert elm.exists(layout.chunk(1, 100))
    finally:
        for courier in couriers:
            courier.stop()
            courier.join()


def test_an_entry_is_held_once_it_is_there(tmp_path: Path, elm: Vault, between: Proxy) -> None:
    """The app is not told that k vaults hold a takedown, or a person's key, which one of them never got."""
    paths = SimpleNamespace(**{name: tmp_path / name for name in ("outbox", "held", "spool")})
    recipients = [str(pyrage.x25519.Identity.generate().to_public())]
    config: Any = SimpleNamespace(paths=paths, record=RECORD, root=1, recipients=recipients, apart=frozenset())
    outbox = Outbox(config, {"birch": MemoryVault("birch"), "elm": elm}, LEASE)
    held = paths.held / "ledger/00000001"
    (paths.outbox / "ledger").mkdir(parents=True)
    (paths.outbox / "ledger/00000001.json").write_bytes(b"a takedown")
    outbox.start()
    try:
        queue = outbox.queue("elm")
        wait_until(lambda: queue.failures and not outbox.backlog("birch")[0], "an error, and the other vault")
        assert "could not put" in str(queue.error)
        assert outbox.backlog("elm")[0] == 1
        assert not held.exists()
        assert not elm.exists(layout.ledger(1, 1))
        between.be_well()
        wait_until(held.exists, "the answer")
        assert elm.exists(layout.ledger(1, 1))
    finally:
        outbox.stop()
