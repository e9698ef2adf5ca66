"""What earlier builds put into vaults is restored by this one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from resilience.adapters.supplies import newest
from resilience.engine import orders
from resilience.replication import anchors, chunk, filled, layout, packing, proof, seals, states, travelling, witness
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication.beneath import Beneath
from tests.replication import golden
from tests.replication.harness import Fleet, Site
from tests.vault_servers import Store

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(FOLDER.glob("format-*.tar"))
PLAN = Path(layout.__file__).parent / "README.md"
CODE = Path(layout.__file__).parents[1]


def test_there_is_one_for_each_format() -> None:
    """Format 1 as its first build made it, and with all that ever lies in a vault; chunks of format 2; another adds its own."""
    assert [file.name for file in FILES] == ["format-1-whole.tar", "format-1.tar", "format-2.tar"]
    for file in FILES:
        chunks = [data for key, data in golden.contents(file)[0].items() if layout.chunk_start(key) is not None]
        forms = {json.loads(chunk.split(data)[0])["format"] for data in chunks}
        assert forms == {f"resilience-wal/{file.stem.split('-')[1]}"}


def test_each_format_that_the_code_names_lies_in_a_golden_vault() -> None:
    """Whatever it writes or reads, of every kind and version; and what lies in a golden vault is still read."""
    source = "".join(path.read_text() for path in CODE.rglob("*.py"))
    named = set(re.findall(r"resilience-[a-z]+/[0-9]+", source))
    assert {form for form in named if form.startswith("resilience-wal/")} == set(packing.FORMATS)
    objects = [data for file in FILES for data in golden.contents(file)[0].values()]
    there = {form.decode() for data in objects for form in re.findall(rb'"format": ?"(resilience-[^"]+)"', data)}
    assert there | {witness.FORMAT} == named, "a witness is a host's answer, and lies in no vault"


def kinds() -> dict[str, re.Pattern[str]]:
    """What objects there are by the format's own page: each name, as a pattern."""
    page = PLAN.read_text()
    table = page[page.index("| key | what | who puts |") :].split("\n\n")[0]
    names = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    return {name: re.compile("".join(map(_pattern, re.split(r"(<[^>]+>|…)", name)))) for name in names}


def _pattern(part: str) -> str:
    if part == "…":
        return ".+"
    if not part.startswith("<"):
        return re.escape(part)
    meant = (
        ("LSN", "[0-9A-F]{16}"),
        ("16 hex digits of", "[0-9a-f]{16}"),
        ("sha256", "[0-9a-f]{64}"),
        ("milliseconds", r"\d+"),
        ("ms", r"\d+"),
    )
    numbers = (("8 digits", r"\d{8}"), ("epoch", r"\d{8}"), ("number", r"\d{8}"))
    return next((pattern for word, pattern in (*meant, *numbers) if word in part), "[^/.]+")


def test_whatever_lies_in_a_vault_lies_in_a_golden_one() -> None:
    """Each kind of object that the format's page names is kept here, and each object that is kept is named there."""
    keys = {key for file in FILES for key in golden.contents(file)[0]}
    keys |= set(json.loads((FOLDER / "apart-1.json").read_text())["objects"])
    named = kinds()
    assert len(named) > 15
    assert [name for name, pattern in named.items() if not any(map(pattern.fullmatch, keys))] == []
    assert [key for key in sorted(keys) if not any(pattern.fullmatch(key) for pattern in named.values())] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_vault_is_restored(file: Path, sites: Callable[..., Site], stores: dict[str, Store]) -> None:
    """Rows, pictures and ledger of a vault that was filled by an early build of its format."""
    fleet, facts = golden.load(file, stores["s3"], f"golden-{file.stem}"), golden.contents(file)[1]
    vault = fleet.vaults()[golden.VAULT]
    labelled = list(labels.find(fleet.vaults(), {record.number: record for record in fleet.records}, fleet.check))
    assert len(labelled) == len(vault.list(layout.LABEL)), "each label is believed"
    elsewhere = sites(fleet, "elsewhere")
    assert elsewhere.run("restore")["snapshot"] == facts.get("snapshot", labelled[0][0].snapshot)
    elsewhere.run("recover")
    assert [n for n in elsewhere.rows() if n] == list(range(1, facts.get("rows", golden.ROWS) + 1))
    pictures = [layout.picture(key) for key in vault.list(layout.MEDIA)]
    assert elsewhere.run("fetch-media", config=elsewhere.config(named=pictures))["fetched"] == len(pictures)
    name = hashlib.sha256(golden.PICTURE).hexdigest()
    assert (elsewhere.folder / "media" / name[:2] / name).read_bytes() == golden.PICTURE
    assert elsewhere.run("fetch-ledger")["entries"] == 1
    if "snapshot" in facts:
        reads_what_the_operator_put(fleet, facts)


def reads_what_the_operator_put(fleet: Fleet, facts: Mapping[str, Any]) -> None:
    """Proof, state, certificate, anchor, orders and supplies; that it was filled; the word that an epoch was sealed for good; what a rehearsal put."""
    vaults = fleet.vaults()
    vault = vaults[golden.VAULT]
    assert proof.proven(vaults, fleet.check) == {(golden.VAULT, facts["snapshot"])}
    kept = states.newest(vaults, golden.STACK, fleet.check)
    assert seals.decrypt(kept.sealed, fleet.identity) == golden.SECRET
    found = travelling.newest(vaults, fleet.check, 0.0)
    assert found is not None
    assert found.sealed.certificate == golden.CERTIFICATE
    assert seals.decrypt(found.sealed.sealed, fleet.identity) == golden.SECRET
    assert anchors.read(vaults, fleet.records[1], fleet.check) == facts.get("anchor")
    kept_orders = [vault.get(key) or b"" for key in vault.list(orders.PREFIX)]
    told = [order for data in kept_orders if (order := orders.decode(data, fleet.check))]
    assert [order.reference for order in told] == facts.get("orders", [])
    assert all(order == golden.ORDER for order in told)
    taken_back = [orders.decode_withdrawal(data, fleet.check) for data in kept_orders]
    assert [one for one in taken_back if one] == [golden.WITHDRAWAL] * (len(kept_orders) - len(told))
    if vault.list("supplies/"):
        (part,) = newest(vaults, fleet.check).parts
        assert vault.get(part.key) == golden.SUPPLY
    rehearsed = Beneath(vault, golden.REHEARSED).get(layout.ledger(3, 2))
    assert rehearsed is not None
    assert seals.decrypt(rehearsed, fleet.identity) == golden.SECRET
    vault.delete(layout.opening(2))
    assert [old.record.number for old in epochs.to_fence(vaults, 2, fleet.check)] == [2], "it was sealed for good"
    vault.delete(layout.sealed(2))
    assert [old.record.number for old in epochs.to_fence(vaults, 2, fleet.check)] == [2, 1]
    if vault.exists(layout.filled(2)):
        vault.delete(layout.epoch(1))  # from which on it was there
        assert not filled.lacking(vaults, fleet.records[1], fleet.check, frozenset())
        vault.delete(layout.filled(2))
        assert filled.lacking(vaults, fleet.records[1], fleet.check, frozenset()) == {golden.VAULT}
