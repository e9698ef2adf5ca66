"""What the ledger says is gone is believed entry by entry: signed, in canonical form, each after the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.errors import BrokenChain
from resilience.plaza.ledger import canonical
from resilience.replication import seals
from resilience.replication.ledger import GENESIS
from resilience.replication.removed import read

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw().hex()
SIGNED = seals.verifier(PUBLIC)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def entries(folder: Path, *media: tuple[str, ...], key: Ed25519PrivateKey = KEY) -> list[Path]:
    """A ledger as the app writes it: an entry for each group of pictures."""
    head, paths = GENESIS, []
    for seq, names in enumerate(media, 1):
        fields = {"seq": seq, "prev": head, "action": "takedown", "reason": "dürfte nicht sein", "media": list(names)}
        body = canonical({**fields, "signature": key.sign(canonical(fields)).hex()})
        head = hashlib.sha256(body).hexdigest()
        path = folder / f"{seq:08d}.json"
        path.write_bytes(body)
        paths.append(path)
    return paths


def test_pictures_are_told_with_the_last_entry_that_names_them(tmp_path: Path) -> None:
    """Two entries may name one picture; what is only hidden names none."""
    paths = entries(tmp_path, (A, B), (), (A, C))
    found = read(paths, SIGNED)
    assert found["pictures"] == {A: 3, B: 1, C: 3}
    assert (found["entries"], found["head"]) == (3, hashlib.sha256(paths[2].read_bytes()).hexdigest())
    assert read([], SIGNED) == {"entries": 0, "head": GENESIS, "pictures": {}}


def _other_key(path: Path) -> None:
    entries(path.parent, (A,), (B,), key=Ed25519PrivateKey.generate())


def _spaces(path: Path) -> None:
    path.write_bytes(json.dumps(json.loads(path.read_bytes()), sort_keys=True).encode())


def _more(path: Path) -> None:
    told: dict[str, Any] = json.loads(path.read_bytes())
    path.write_bytes(canonical({**told, "media": [A, B, C]}))


@pytest.mark.parametrize("alter", [_other_key, _spaces, _more, Path.unlink, lambda p: p.write_bytes(b"[]")])
def test_nothing_is_believed_past_what_was_altered(tmp_path: Path, alter: Callable[[Path], object]) -> None:
    """A foreign signature, another form, a name more, a missing entry, junk: the ledger is broken there."""
    paths = entries(tmp_path, (A,), (B,))
    alter(paths[0])
    with pytest.raises(BrokenChain, match="ledger entry 1"):
        read([path for path in paths if path.exists()], SIGNED)


def test_a_name_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    """A signed entry can't make anything else go: names are sha256, and nothing longer."""
    for name in ("../epoch/00000001.json", "A" * 64, "a" * 64 + "\n"):
        with pytest.raises(BrokenChain):
            read(entries(tmp_path, (name,)), SIGNED)
