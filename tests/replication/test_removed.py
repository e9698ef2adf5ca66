"""What the ledger in real vaults says is gone, read by the command as the operator runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.replication import layout, seals
from tests.replication.harness import Fleet, Site
from tests.unit.test_removed import KEY, PUBLIC, A, B, C, entries


def test_the_whole_ledger_is_read_from_enough_vaults_and_believed(
    sites: Callable[..., Site], fleet: Fleet, tmp_path: Path
) -> None:
    """Entries lie in two of three vaults each, in the third another one under that name; what all have and nobody signed stops it."""
    sites(fleet, "acorn")
    vaults = list(fleet.vaults().values())
    paths = entries(tmp_path, (A,), (A, B), (C,))
    for number, path in enumerate(paths, 1):
        for at, vault in enumerate(vaults):
            given = paths[number % 3] if at == number % 3 else path
            vault.put_new(layout.ledger(1, number), seals.encrypt(given.read_bytes(), [fleet.recipient]))
    reader = sites(fleet, "reader", standby=True)

    def config(key: str | None = PUBLIC) -> Path:
        return reader.config(standby=True, signing_key_file=None, ledger_public_key=key)

    (reader.folder / "ledger").rmdir()  # as on an operator's machine, where nothing is below the folder yet
    found = reader.run("removed", config=config())
    assert (found["entries"], found["pictures"]) == (3, {A: 2, B: 2, C: 3})
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    assert reader.run("removed", config=config(other), fails=True)["kind"] == "BrokenChain"
    assert "ledger_public_key" in reader.run("removed", config=config(None), fails=True)["what"]
    told = json.loads((reader.folder / "ledger/00000003.json").read_text())
    forged = {**told, "seq": 4, "media": [A, B, C]}
    data = seals.encrypt(json.dumps({**forged, "signature": KEY.sign(b"another").hex()}).encode(), [fleet.recipient])
    for vault in vaults:
        vault.put_new(layout.ledger(1, 4), data)
    assert layout.ledger(1, 4) in reader.run("removed", config=config(), fails=True)["missing"]
    for vault in vaults[1:]:
        vault.erase(layout.ledger(1, 4))
    assert reader.run("removed", config=config())["entries"] == 3
