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
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from resilience.engine import orders
from resilience.model import LegalOrder, Withdrawal
from resilience.model.certificate import Certificate
from resilience.ports import SealedCertificate
from resilience.replication import anchors, filled, layout, proof, seals, states, travelling
from resilience.replication import epoch as epochs
from resilience.replication.beneath import Beneath
from resilience.replication.manifest import Manifest, Part
from tests.replication.harness import Fleet, Site, site_folder, wait_until
from tests.vault_servers import Store, make_bucket, seaweed

FLEET = "fleet.json"
VAULT = "elm"
ROWS = 50
PICTURE = bytes(range(256)) * 4
KEY = bytes(range(32))
SECRET = b"for the fleet's eyes alone"
STACK = states.Stack("test", "birch")
ORDER = LegalOrder("12 O 34/26", "District Court", "2026-11-20", "", ("17",))
WITHDRAWAL = Withdrawal(ORDER, "Jane Roe, counsel", "2026-11-25T12:00:00Z", "a slip")
SUPPLY = b"a package"
CERTIFICATE = Certificate("plaza.test", "somebody", 1e9, "ab" * 32)
REHEARSED = "rehearsal/golden/"


def one_vault(store: Store, bucket: str) -> Fleet:
    """A fleet with a single vault: every quorum is one."""
    return Fleet({VAULT: (store, replace(make_bucket(store, bucket), name=VAULT))}, k=1, s=1)


def contents(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The objects in a golden file by key, and what is known of its fleet."""
    with tarfile.open(path) as tar:
        objects = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    return objects, json.loads(objects.pop(FLEET))


def load(path: Path, store: Store, bucket: str) -> Fleet:
    """The fleet in a golden file, with its objects in a new bucket."""
    fleet = one_vault(store, bucket)
    vault = fleet.vaults()[VAULT]
    objects, facts = contents(path)
    for key, data in objects.items():
        vault.put_new(key, data)
    operator = load_pem_private_key(facts["operator"].encode(), None)
    assert isinstance(operator, Ed25519PrivateKey)
    fleet.operator, fleet.identity = operator, facts["identity"]
    fleet.records = [epochs.from_json(record) for record in facts["records"]]
    return fleet


def make(path: Path, store: Store) -> None:
    """Two epochs, a standby's snapshot, and whatever else the operator puts; then all of the vault into a file."""
    fleet = one_vault(store, "golden")
    with site_folder() as folder, ExitStack() as ends:
        acorn = Site(folder, "acorn", fleet, fleet.seal("acorn"))
        ends.callback(acorn.end)
        first_epoch(acorn)
        acorn.kill_postgres()
        acorn.end()
        birch = Site(folder, "birch", fleet, fleet.seal("birch"))
        ends.callback(birch.end)
        epochs.attest(fleet.vaults(), birch.record, seals.signer(fleet.operator))
        birch.run("restore")
        birch.run("recover")
        birch.ship()
        birch.insert(ROWS + 1, 2 * ROWS)
        cedar = Site(folder, "cedar", fleet, birch.record)
        ends.callback(cedar.end)
        snapshot = standing_by(cedar, birch)
        birch.insert(2 * ROWS + 1, 3 * ROWS)
        birch.wait_confirmed()
    of_the_operator(fleet, snapshot)
    _keep(path, fleet, {"rows": 3 * ROWS, "snapshot": snapshot, "anchor": 1, "orders": [ORDER.reference]})


def first_epoch(acorn: Site) -> None:
    """Rows in a snapshot and after it; a picture, a person's key and a ledger entry, shipped."""
    acorn.begin()
    acorn.insert(1, ROWS)
    for kind, data in (("media", PICTURE), ("key", KEY)):
        (acorn.folder / "outbox" / kind / hashlib.sha256(data).hexdigest()).write_bytes(data)
    (acorn.folder / "outbox/ledger/00000001.json").write_text('{"seq": 1}')
    wait_until(lambda: list((acorn.folder / "held/ledger").iterdir()), acorn.told)
    wait_until(lambda: acorn.status()["vaults"][VAULT]["backlog_objects"] == 0, acorn.told)
    acorn.wait_confirmed()


def standing_by(standby: Site, primary: Site) -> str:
    """A standby follows the second epoch, and takes a snapshot of it; its id."""
    standby.follow()
    wait_until(lambda: standby.has(2 * ROWS), standby.told_by_standby)
    with primary.connect() as db:
        db.execute("CHECKPOINT")
    primary.insert(0, 0)
    wait_until(lambda: standby.has(2 * ROWS + 1), standby.told_by_standby)
    with standby.connect() as db:
        db.execute("CHECKPOINT")
    return standby.snapshot_as_standby()[VAULT]


def of_the_operator(fleet: Fleet, snapshot: str) -> None:
    """What is signed at the operator's machine, from a proof to an order; supplies; and what a rehearsal puts."""
    sign, vault = seals.signer(fleet.operator), fleet.vaults()[VAULT]
    vault.put_new(
        layout.verified(VAULT, 1000), proof.encode("test", VAULT, 1.0, {"ok": True, "snapshot": snapshot}, sign)
    )
    state = states.encode(STACK, 1000, seals.encrypt(SECRET, [fleet.recipient]), sign)
    vault.put_new(layout.state(STACK.name, 1000), state)
    sealed = SealedCertificate(CERTIFICATE, seals.encrypt(SECRET, [fleet.recipient]))
    vault.put_new(travelling.name(1000), travelling.encode(sealed, 1000, sign))
    anchors.leave(fleet.vaults(), fleet.records[-1], 1, sign, seals.verifier(seals.public_hex(fleet.operator)))
    filled.leave(vault, fleet.records[-1], sign)
    vault.put_new(orders.key(ORDER), orders.encode(ORDER, sign))
    vault.put_new(orders.withdrawn_key(ORDER), orders.encode_withdrawal(WITHDRAWAL, sign))
    part = Part("package.deb", hashlib.sha256(SUPPLY).hexdigest(), len(SUPPLY))
    vault.put_new(part.key, SUPPLY)
    supplies = Manifest((part,), 1.0)
    vault.put_new(supplies.key, supplies.to_bytes(sign))
    Beneath(vault, REHEARSED).put_new(layout.ledger(3, 2), seals.encrypt(SECRET, [fleet.recipient]))


def _keep(path: Path, fleet: Fleet, facts: dict[str, object]) -> None:
    pem = fleet.operator.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    records = [asdict(record) for record in fleet.records]
    facts |= {"operator": pem, "identity": fleet.identity, "records": records}
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
