"""What a new epoch goes on from is read in every vault that may hold it, whoever sealed what since."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.host_config import HostConfig
from resilience.adapters.memory_vault import MemoryVault
from resilience.adapters.plane import SshPlane
from resilience.decide.quorum import newest_epoch
from resilience.errors import BrokenChain, Refused, ResilienceError, VaultError
from resilience.model import EpochRecord, Survey, VaultReading, VaultSpec, Vendor
from resilience.replication import chain as chains
from resilience.replication import chunk, layout, lsn, seals
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication.gather import Gathered, read_record
from resilience.replication.trace import legs
from resilience.simulation import simulated_fleet
from tests.unit.test_chunk import LABELLED
from tests.unit.test_epoch import Dead

OPERATOR, ACORN, BIRCH, LOSER = (Ed25519PrivateKey.generate() for _ in range(4))
CHECK = seals.verifier(seals.public_hex(OPERATOR))
READER = str(pyrage.x25519.Identity.generate().to_public())
BEGIN = 16 << 20
SET = ("birch", "cedar", "elm")
URL = "http://simulated.invalid"
FLEET = simulated_fleet()
FLEET = replace(
    FLEET,
    vendors=(*FLEET.vendors, Vendor("fir", account=URL)),
    vaults=(*FLEET.vaults, VaultSpec("fir", "fir", "s3", URL, "vault")),
)


class Kit:
    """Nothing in it is a secret."""

    recipients = (READER,)

    def vault(self, *_: str) -> dict[str, str]:
        """Credentials."""
        return {"token": "x"}

    def restic_password(self, *_: str) -> str:
        """Of a repository."""
        return "p"

    standby_password = restic_password

    def identity(self) -> str:
        """Who reads."""
        return "i"


def sealed_by(
    number: int, site: str, nonce: str, vaults: tuple[str, ...] = SET, k: int = 2, key: Ed25519PrivateKey = ACORN
) -> EpochRecord:
    """An epoch that the operator signed."""
    return epochs.make_record(
        number=number,
        site=site,
        nonce=nonce,
        parent=number - 1,
        vaults=vaults,
        k=k,
        s=k,
        sealed_at=1.0,
        signer=seals.public_hex(key),
        sign=seals.signer(OPERATOR),
    )


def ship(vaults: Mapping[str, MemoryVault], record: EpochRecord, key: Ed25519PrivateKey, *, until: int) -> None:
    """The epoch's start, and one chunk up to `until`, in these vaults."""
    begin = BEGIN + record.number - 1
    sign = seals.signer(key)
    start = chunk.Start(record.number, record.nonce, begin, record.number, "7", "", 0.0)
    body = chunk.seal_body(b"x", [READER])
    header = chunk.Header(
        record.number,
        record.nonce,
        record.site,
        record.number,
        "7",
        begin,
        until,
        begin,
        1.0,
        hashlib.sha256(body).hexdigest(),
    )
    for vault in vaults.values():
        vault.put_new(layout.first(record.number), chunk.encode_start(start, sign))
        vault.put_new(layout.chunk(record.number, begin), chunk.encode(header, body, sign))


def some(vaults: Mapping[str, MemoryVault], *names: str) -> dict[str, MemoryVault]:
    """Of these, by name."""
    return {name: vaults[name] for name in names}


def seal(vaults: Mapping[str, MemoryVault], record: EpochRecord) -> None:
    """For good."""
    olds = epochs.to_fence(vaults, record.parent, CHECK)
    names = epochs.seal_record(vaults, record, olds, CHECK)
    epochs.attest({name: vaults[name] for name in names}, record, seals.signer(OPERATOR))


def hosts(vaults: Mapping[str, MemoryVault]) -> HostConfig:
    """What hosts are told where these vaults answer."""
    signer = SimpleNamespace(verify=CHECK, public=seals.public_hex(OPERATOR), ledger_public="")
    return HostConfig(FLEET, cast("Any", Kit()), vaults, cast("Any", signer), "")


def configured(vaults: Mapping[str, MemoryVault], record: EpochRecord) -> dict[str, Any]:
    """What a restore under this epoch is told."""
    return hosts(vaults).reader(FLEET.site("birch"), record)


def proven_end(vaults: Mapping[str, MemoryVault], record: EpochRecord, folder: Path) -> int:
    """Up to where a restore under this epoch finds WAL."""
    config = configured(vaults, record)
    known = {r.number: r for r in (*map(epochs.from_json, config["parent_epochs"]), record)}
    read = some(vaults, *(vault["name"] for vault in config["vaults"]))
    last = legs(known, record, read, tuple(config["sealed"]), BEGIN, None)[-1]
    gathered = Gathered(last.record, read, config["sealed"], folder)
    return gathered.walk(last.position, last.limit, None, lambda _header, _body: None).end


@pytest.fixture
def vaults() -> dict[str, MemoryVault]:
    """Epoch 1 at acorn: all three hold its first chunk, and birch and elm one more, so it was acknowledged."""
    made = {name: MemoryVault(name) for name in (*SET, "fir")}
    first = sealed_by(1, "acorn", "one")
    epochs.seal_record(some(made, *SET), first, [], CHECK)
    ship(some(made, *SET), first, ACORN, until=BEGIN + 1)
    sign, body = seals.signer(ACORN), chunk.seal_body(b"y", [READER])
    digest = hashlib.sha256(body).hexdigest()
    more = chunk.Header(1, "one", "acorn", 1, "7", BEGIN + 1, BEGIN + 2, BEGIN + 1, 1.0, digest)
    for name in ("birch", "elm"):
        made[name].put_new(layout.chunk(1, BEGIN + 1), chunk.encode(more, body, sign))
    return made


def test_an_epoch_that_was_sealed_and_never_opened_hides_nothing(
    vaults: dict[str, MemoryVault], tmp_path: Path
) -> None:
    """The first operator's laptop is gone after the seal; the second's restore reads the old set, too."""
    left = some(vaults, "birch", "cedar")
    seal(left, sealed_by(2, "birch", "two", ("cedar",), 1))
    third = sealed_by(3, "birch", "three", ("cedar",), 1)
    seal(left, third)
    assert proven_end(left, third, tmp_path) == BEGIN + 2


def test_a_change_of_set_that_nobody_turned_to_hides_nothing(vaults: dict[str, MemoryVault], tmp_path: Path) -> None:
    """`vaults --without birch` is sealed; before ship turns, acorn and elm are lost, and birch alone has the last chunk."""
    seal(vaults, sealed_by(2, "acorn", "two", ("cedar", "elm", "fir")))
    left = some(vaults, "birch", "cedar", "fir")
    third = sealed_by(3, "birch", "three", ("cedar", "fir"))
    seal(left, third)
    assert proven_end(left, third, tmp_path) == BEGIN + 2


def test_ship_is_told_of_the_vaults_that_it_still_writes_to(vaults: dict[str, MemoryVault]) -> None:
    """`vaults --without birch` is sealed, and ship has not turned: `up` leaves it birch, also once its vendor is gone; then no more."""
    change = sealed_by(2, "acorn", "two", ("cedar", "elm", "fir"))
    seal(vaults, change)
    for seen in (vaults, some(vaults, "cedar", "elm", "fir")):
        assert {"birch", *change.vaults} == shipped_into(seen, change)
    opening = chunk.Opening(2, "two", 1, BEGIN + 2, BEGIN + 2, 1, "7", 0.0)
    vaults["fir"].put_new(layout.opening(2), chunk.encode_opening(opening, seals.signer(ACORN)))
    assert set(change.vaults) == shipped_into(vaults, change)


def shipped_into(vaults: Mapping[str, MemoryVault], record: EpochRecord) -> set[str]:
    """The vaults in the file that stays on the host."""
    return {vault["name"] for vault in hosts(vaults).ship(FLEET.site(record.site), record)["vaults"]}


@pytest.mark.parametrize(("nonce", "number"), [("one", 1), ("two", 2)])
def test_a_vault_is_filled_under_the_epoch_that_ship_is_under(
    vaults: dict[str, MemoryVault], monkeypatch: pytest.MonkeyPatch, nonce: str, number: int
) -> None:
    """The set's change is sealed: until ship has turned to it, what a vault lacks is of the epoch before."""
    seal(vaults, sealed_by(2, "acorn", "two", ("cedar", "elm", "fir")))
    hole = {"from": "0/1000000", "until": "0/1000001"}
    ran = caught_up(vaults, monkeypatch, {"nonce": nonce, "vaults": {"elm": {"hole": hole}}})
    assert [(name, of) for name, of, _ in ran] == [("catch-up", number), ("caught-up", number)]


def test_a_vault_is_not_to_be_given_what_nobody_has(
    vaults: dict[str, MemoryVault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left behind before WAL was lost, and again after: what others hold is copied, and then it lacks nothing.

    Alone it can give the database back only with a snapshot from past what was lost.
    """
    two = sealed_by(2, "acorn", "two", ("cedar", "elm", "fir"))
    seal(vaults, two)
    hole, lost = {"from": "0/100", "until": "0/400000"}, {"from": "0/200", "until": "0/300000"}
    said = {"nonce": "two", "lost": [lost], "vaults": {"elm": {"hole": hole}}}
    labelled(vaults["elm"], two, 0x2FFFFF)
    with pytest.raises(Refused, match="no snapshot whose WAL begins at 0/300000"):
        caught_up(vaults, monkeypatch, said)
    labelled(vaults["elm"], two, 0x300000)
    ran = caught_up(vaults, monkeypatch, said)
    told = [(name, ends) for name, _, ends in ran]
    assert told == [
        ("catch-up", ("0/100", "0/200")),
        ("catch-up", ("0/300000", "0/400000")),
        ("caught-up", ("0/100", "0/400000")),
    ]
    labelled(vaults["elm"], two, 0x400000)
    ran = caught_up(vaults, monkeypatch, {**said, "lost": [hole]})
    told = [(name, ends) for name, _, ends in ran]
    ends = ("0/400000", "0/400000")
    assert told == [("catch-up", ends), ("caught-up", ("0/100", "0/400000"))], "pictures and ledger"


def test_a_vault_that_was_emptied_takes_a_snapshot_first(
    vaults: dict[str, MemoryVault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All WAL that it held is gone, so one must lead past that; then pictures and ledger are copied, and ship is told."""
    two = sealed_by(2, "acorn", "two", ("cedar", "elm", "fir"))
    seal(vaults, two)
    hole = {"from": "0/100", "until": "0/400500", "since": 0.0, "emptied": True}
    said = {"nonce": "two", "vaults": {"elm": {"hole": hole, "emptied": True}}}
    for start in (0x3FFFFF, 0x400600):  # a standby's begins anywhere, and whoever restores reads its whole segment
        labelled(vaults["elm"], two, start)
        with pytest.raises(Refused, match="it was emptied"):
            caught_up(vaults, monkeypatch, said)
    labelled(vaults["elm"], two, 0x500600)
    ran = [(name, ends) for name, _, ends in caught_up(vaults, monkeypatch, said)]
    assert ran == [("catch-up", ("0/400500", "0/400500")), ("caught-up", ("0/100", "0/400500"))]


@pytest.mark.parametrize("said", ["damaged", "not whole", "of an older moment"])
def test_a_label_leads_past_nothing_before_its_snapshot_was_read_back(
    vaults: dict[str, MemoryVault], monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """Whoever has the site's key signs any; another one that the vault gives back is as good."""
    two = sealed_by(2, "acorn", "two", ("cedar", "elm", "fir"))
    seal(vaults, two)
    hole = {"from": "0/100", "until": "0/400000", "since": 0.0, "emptied": True}
    status = {"nonce": "two", "vaults": {"elm": {"hole": hole, "emptied": True}}}
    labelled(vaults["elm"], two, 0x600000, "ab" * 32)
    copies: dict[str, Any] = {"ab" * 32: {"damaged": None, "not whole": False, "of an older moment": "0/0"}[said]}
    with pytest.raises(Refused, match="so it could not give the database back"):
        caught_up(vaults, monkeypatch, status, copies)
    labelled(vaults["elm"], two, 0x500000)
    assert len(caught_up(vaults, monkeypatch, status, copies)) == 2


def test_a_vault_that_was_emptied_is_not_filled_before_ship_noticed(
    vaults: dict[str, MemoryVault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the epoch again it would be counted for all that it held.

    That ship put its records there again when it began, or what it says of the vault, tells nobody that all else is there: a
    snapshot does that was read back, and all WAL since.
    """
    two = sealed_by(2, "acorn", "two", ("cedar", "elm", "fir"))
    seal(vaults, two)
    said: dict[str, Any] = {"nonce": "two", "vaults": {"elm": {"hole": None, "emptied": False, "lsn": "0/700000"}}}
    assert caught_up(vaults, monkeypatch, said) == []
    vaults["elm"].objects.clear()
    with pytest.raises(ResilienceError, match="did not notice yet"):
        caught_up(vaults, monkeypatch, said)
    vaults["elm"].put_new(layout.first(2), b"put when ship began")
    with pytest.raises(Refused, match="it does not show epoch 2"):
        caught_up(vaults, monkeypatch, said)
    labelled(vaults["elm"], two, 0x500600)
    wanted = [("catch-up", ("0/500000", "0/700000"))]
    assert [(name, ends) for name, _, ends in caught_up(vaults, monkeypatch, said)] == wanted
    said["vaults"]["elm"]["emptied"] = True
    assert [(name, ends) for name, _, ends in caught_up(vaults, monkeypatch, said)] == wanted
    with pytest.raises(Refused, match="it does not show epoch 2"):
        caught_up(vaults, monkeypatch, {**said, "lost": [{"from": "0/400000", "until": "0/500100"}]})


def labelled(vault: MemoryVault, record: EpochRecord, start: int, snapshot: str = LABELLED.snapshot) -> None:
    """A snapshot in this vault from here on, as the site's host signs it."""
    label = replace(
        LABELLED,
        epoch=record.number,
        nonce=record.nonce,
        vault=vault.name,
        snapshot=snapshot,
        repository=layout.repository(record.number),
        start_lsn=lsn.show(start),
        stop_lsn=lsn.show(start + 1),
    )
    vault.put_new(label.key, labels.encode(label, seals.signer(ACORN)))


def caught_up(
    vaults: dict[str, MemoryVault],
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, Any],
    copies: Mapping[str, Any] = MappingProxyType({}),
) -> list[tuple[str, int, tuple[str, str]]]:
    """Which commands filled elm, where ship says this: under which epoch, and for which WAL.

    Of these copies it gives back: None nothing, False no file, else one from there.
    """
    ran: list[tuple[str, int, tuple[str, str]]] = []

    def verify(snapshot: str) -> dict[str, Any]:
        newest = max(vaults["elm"].list(f"{layout.LABEL}00000002/"))
        begin = copies.get(snapshot, lsn.show((layout.labelled(newest) or ("", 0))[1] & ~0xFFFFF))
        if begin is None:
            raise VaultError(f"elm has no snapshot {snapshot}.", "It was removed.", "Take a new one.")
        return {"ok": bool(begin), "needs_from": begin, "at": 1.0}

    def run(name: str, config: Any, *ends: str) -> dict[str, Any]:
        if name == "verify-snapshot":
            return verify(ends[3])
        ran.append((name, config["epoch"]["number"], (ends[3], ends[5])))
        return {"vault": "elm", "chunks": 1, "objects": 0, "unreadable": []}

    commands = SimpleNamespace(here=run, there=lambda _, *told: run(*told))
    monkeypatch.setattr(SshPlane, "commands", commands)
    monkeypatch.setattr(SshPlane, "status", lambda *_: said)
    nobody: Any = None
    SshPlane(nobody, hosts(vaults), nobody).catch_up(FLEET.site("acorn"), nobody, "elm")
    return ran


@pytest.mark.parametrize(("asked", "enough"), [(("birch", "cedar"), True), (("cedar",), False), (("fir",), False)])
def test_an_end_is_proven_by_enough_of_the_epochs_own_vaults(asked: tuple[str, ...], *, enough: bool) -> None:
    """Any n - k + 1 show what k of them hold; fewer may have missed it, and others show nothing."""
    chain = chains.Chain(BEGIN, (), BEGIN, 0)
    if enough:
        chains.refuse_unseen(chain, sealed_by(1, "acorn", "one"), asked)
    else:
        with pytest.raises(BrokenChain, match="may hold of epoch 1 past 0/1000000"):
            chains.refuse_unseen(chain, sealed_by(1, "acorn", "one"), asked)


@pytest.mark.parametrize("theirs", ["aaaa", "zzzz"])
@pytest.mark.parametrize("told_by", ["attested", "opened", "begun"])
def test_of_two_seals_the_one_that_went_on_is_believed(
    vaults: dict[str, MemoryVault], theirs: str, told_by: str
) -> None:
    """One against one is left of each; the loser's name must not decide, and what the winner wrote must."""
    won = sealed_by(2, "birch", "mmmm", key=BIRCH)
    vaults["cedar"].put_new(layout.epoch(2), epochs.encode(sealed_by(2, "elm", theirs, key=LOSER)))
    names = epochs.seal_record(some(vaults, *SET), won, epochs.to_fence(some(vaults, *SET), 1, CHECK), CHECK)
    assert names == ("birch", "elm")
    if told_by == "attested":
        epochs.attest(some(vaults, "elm"), won, seals.signer(OPERATOR))
    elif told_by == "opened":
        opening = chunk.Opening(2, "mmmm", 1, BEGIN + 2, BEGIN, 1, "7", 0.0)
        vaults["elm"].put_new(layout.opening(2), chunk.encode_opening(opening, seals.signer(BIRCH)))
    else:
        ship(some(vaults, "elm"), won, BIRCH, until=BEGIN + 3)
    left = some(vaults, "cedar", "elm")
    assert epochs.newest_of(left, CHECK) == won
    assert epochs.numbered(left, 2, CHECK)[0] == won
    assert [r["nonce"] for r in configured(left, sealed_by(3, "birch", "three"))["parent_epochs"]] == ["one", "mmmm"]


def test_a_survey_names_the_epoch_that_is_settled() -> None:
    """Also where the loser's is shown by as many vaults."""
    won, lost = sealed_by(2, "birch", "mmmm"), sealed_by(2, "elm", "aaaa")
    readings = {"cedar": VaultReading(lost, None, 0), "elm": VaultReading(won, None, 0)}
    assert newest_epoch(Survey(0.0, vaults=readings)) == lost
    assert newest_epoch(Survey(0.0, vaults=readings, settled="mmmm")) == won


@pytest.mark.parametrize("altered", [1, 2, 3])
def test_a_start_record_that_is_altered_everywhere_is_no_sign_that_nothing_was_shipped(
    vaults: dict[str, MemoryVault], altered: int
) -> None:
    """Its chunks are whole, and k vaults held it; altered in one, the others still give it."""
    three = some(vaults, *SET)
    second, third = sealed_by(2, "birch", "two", key=BIRCH), sealed_by(3, "acorn", "three")
    seal(three, second)
    opening = chunk.Opening(2, "two", 1, BEGIN + 1, BEGIN, 1, "7", 0.0)
    for vault in three.values():
        vault.put_new(layout.opening(2), chunk.encode_opening(opening, seals.signer(BIRCH)))
    ship(three, second, BIRCH, until=BEGIN + 3)
    for name in SET[:altered]:
        three[name].objects[layout.first(2)] = b"{}"
    known = {1: sealed_by(1, "acorn", "one"), 2: second, 3: third}
    if altered < len(SET):
        assert [leg.record.number for leg in legs(known, third, three, SET, BEGIN, None)] == [1, 2]
    else:
        with pytest.raises(BrokenChain, match="an unaltered wal/00000002/start"):
            legs(known, third, three, SET, BEGIN, None)


def test_a_vault_that_is_silent_is_none_that_has_no_start(vaults: dict[str, MemoryVault]) -> None:
    """One has it altered, one does not answer: two of three may have held it, and the third knows nothing of that."""
    three: dict[str, Any] = dict(some(vaults, *SET))
    second, third = sealed_by(2, "birch", "two", key=BIRCH), sealed_by(3, "acorn", "three")
    seal(three, second)
    opening = chunk.Opening(2, "two", 1, BEGIN + 1, BEGIN, 1, "7", 0.0)
    three["elm"].put_new(layout.opening(2), chunk.encode_opening(opening, seals.signer(BIRCH)))
    three["elm"].put_new(layout.first(2), b"junk")
    three["birch"] = Dead("birch")
    known = {1: sealed_by(1, "acorn", "one"), 2: second, 3: third}
    with pytest.raises(BrokenChain, match="an unaltered wal/00000002/start"):
        legs(known, third, three, ("cedar", "elm"), BEGIN, None)


@pytest.mark.parametrize("junk", [1, 2, 3])
def test_junk_where_a_start_would_be_stops_nothing(vaults: dict[str, MemoryVault], junk: int) -> None:
    """An epoch that nobody opened was never begun, however many vaults have junk there: it is passed over."""
    three = some(vaults, *SET)
    second, third = sealed_by(2, "birch", "two", key=BIRCH), sealed_by(3, "acorn", "three")
    seal(three, second)
    for name in SET[:junk]:
        three[name].put_new(layout.first(2), b"junk")
    known = {1: sealed_by(1, "acorn", "one"), 2: second, 3: third}
    assert [leg.record.number for leg in legs(known, third, three, SET, BEGIN, None)] == [1]


def opened(end: int, at: float) -> bytes:
    """The opening record of epoch 2 at birch, which says that epoch 1 ends there."""
    opening = chunk.Opening(2, "two", 1, end, BEGIN, 1, "7", at)
    return chunk.encode_opening(opening, seals.signer(BIRCH))


@pytest.mark.parametrize(
    ("ends", "silent", "expected"),
    [
        ((1, 1, 1), (), 1),
        ((2, 1, 1), (), 1),
        ((1, 1, 2), (), 1),
        ((2, 1, None), (), None),
        ((2, 1, 1), ("cedar",), None),
        ((2, 1, 1), ("birch",), 1),
        ((2, None, 2), (), 2),
    ],
)
def test_two_records_that_differ_are_told_apart_by_who_holds_them(
    ends: tuple[int | None, ...], silent: tuple[str, ...], expected: int | None
) -> None:
    """What k vaults hold counts, where no other can be in k; else nobody knows, whichever vault is asked first.

    That they were put at different times is no difference: a restore that was killed puts its record again.
    """
    vaults = {name: MemoryVault(name) for name in SET}
    for at, (name, end) in enumerate(zip(SET, ends, strict=True)):
        if end is not None:
            vaults[name].put_new(layout.opening(2), opened(BEGIN + end, float(at)))
    asked = {name: Dead(name) if name in silent else vault for name, vault in vaults.items()}
    second = sealed_by(2, "birch", "two", key=BIRCH)

    def read() -> chunk.Opening | None:
        return read_record(asked, SET, second, layout.opening(2), lambda data: chunk.decode_opening(data, second))[0]

    if expected is None:
        with pytest.raises(BrokenChain, match="wal/00000002/opening") as stopped:
            read()
        assert "birch" in stopped.value.why + stopped.value.missing
    else:
        found = read()
        assert found is not None
        assert found.end == BEGIN + expected
