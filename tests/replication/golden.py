"""A golden vault: what a primary left in one vault, kept in a file for every version of the format.

`python -m tests.replication.golden FILE` makes one; only a new format version ever needs that.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from resilience.replication import epoch as epochs
from tests.replication.harness import Fleet, Site, site_folder, wait_until
from tests.vault_servers import Store, make_bucket, seaweed

FLEET = "fleet.json"
VAULT = "elm"
ROWS = 50
PICTURE = bytes(range(256)) * 4


def one_vault(store: Store, bucket: str) -> Fleet:
    """A fleet with a single vault: every quorum is one."""
    return Fleet({VAULT: (store, replace(make_bucket(store, bucket), name=VAULT))}, k=1, s=1)


def load(path: Path, store: Store, bucket: str) -> Fleet:
    """The fleet in a golden file, with its objects in a new bucket."""
    fleet = one_vault(store, bucket)
    vault = fleet.vaults()[VAULT]
    with tarfile.open(path) as tar:
        objects = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    facts = json.loads(objects.pop(FLEET))
    for key, data in objects.items():
        vault.put_new(key, data)
    operator = load_pem_private_key(facts["operator"].encode(), None)
    assert isinstance(operator, Ed25519PrivateKey)
    fleet.operator, fleet.identity = operator, facts["identity"]
    fleet.records = [epochs.from_json(record) for record in facts["records"]]
    return fleet


def make(path: Path, store: Store) -> None:
    """Rows in a snapshot and after it, a picture and a ledger entry, shipped; then all of the vault into a file."""
    fleet = one_vault(store, "golden")
    with site_folder() as folder:
        acorn = Site(folder, "acorn", fleet, fleet.seal("acorn"))
        try:
            acorn.begin()
            acorn.insert(1, ROWS)
            (acorn.folder / "outbox/media" / hashlib.sha256(PICTURE).hexdigest()).write_bytes(PICTURE)
            (acorn.folder / "outbox/ledger/00000001.json").write_text('{"seq": 1}')
            wait_until(lambda: list((acorn.folder / "held/ledger").iterdir()), acorn.told)
            wait_until(lambda: acorn.status()["vaults"][VAULT]["backlog_objects"] == 0, acorn.told)
            acorn.wait_confirmed()
        finally:
            acorn.end()
    pem = fleet.operator.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    records = [asdict(record) for record in fleet.records]
    facts = {"operator": pem, "identity": fleet.identity, "records": records}
    vault = fleet.vaults()[VAULT]
    with tarfile.open(path, "w") as tar:
        for key in vault.list(""):
            _add(tar, key, vault.get(key) or b"")
        _add(tar, FLEET, json.dumps(facts).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    from resilience import caches

    caches.use_programs()
    with tempfile.TemporaryDirectory() as place, seaweed(Path(place) / "s3") as made:
        make(Path(sys.argv[1]), made)
