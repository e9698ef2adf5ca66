"""One life of a primary under random faults, then its loss: nothing that was acknowledged may be missing.

A seed decides everything that is decided here; the suite runs ten, `scripts/bench soak` a hundred.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from resilience.errors import ResilienceError
from resilience.model import EpochRecord, VaultSpec
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn
from resilience.replication import epoch as epochs
from tests.replication import kills
from tests.replication.harness import ROOT, Fleet, Site, kill_all, wait_until
from tests.replication.hot import HotStandby
from tests.vault_proxy import Proxy, proxy
from tests.vault_servers import Store

ANSWERS = (500, 403, 429)
CANCELLED = "canceling wait for synchronous replication"


@dataclass
class Writer:
    """Writes one row after another, and remembers those whose commit was acknowledged without a warning."""

    numbers: Iterator[int]
    acknowledged: set[int] = field(default_factory=set)

    @contextmanager
    def at(self, site: Site) -> Iterator[None]:
        """Write there for as long as the block lasts."""
        stop = threading.Event()
        thread = threading.Thread(target=self._write, args=(site, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(120)

    def _write(self, site: Site, stop: threading.Event) -> None:
        while not stop.is_set():
            notices: list[str] = []
            with contextlib.suppress(psycopg.Error), site.connect() as db:
                db.add_notice_handler(lambda notice, told=notices: told.append(notice.message_primary or ""))  # type: ignore[misc]
                while not stop.is_set():
                    number = next(self.numbers)
                    db.execute("INSERT INTO rows VALUES (%s, repeat('x', 200))", (number,))
                    if not any(CANCELLED in notice for notice in notices):
                        self.acknowledged.add(number)
            stop.wait(0.05)


@contextmanager
def proxied(stores: Mapping[str, tuple[Store, VaultSpec]]) -> Iterator[tuple[Fleet, dict[str, Proxy]]]:
    """A fleet in quorum mode whose vaults all stand behind proxies of their own."""
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(proxy(store.endpoint)) for name, (store, _) in stores.items()}
        behind = {
            name: (replace(store, endpoint=proxies[name].endpoint), replace(spec, endpoint=proxies[name].endpoint))
            for name, (store, spec) in stores.items()
        }
        yield Fleet(behind, durability="quorum", spacing_ms=20), proxies


class Lineage:
    """A primary and its successors: each seed hurts the one there is, loses it, and restores the next."""

    def __init__(
        self, folder: Path, fleet: Fleet, proxies: dict[str, Proxy], with_standby: Callable[[int], bool]
    ) -> None:
        self._with_standby = with_standby
        self.fleet = fleet
        self.told: list[str] = []
        self.altered = ""
        self._usual = {False: dict(kills.USUAL), True: dict(kills.USUAL_HOT)}
        self._proxies = proxies
        self._folder = folder
        self._writer = Writer(iter(range(1, 1 << 40)))
        self._site = self._make(fleet.seal("site1"))
        self._site.begin()
        self._standby: HotStandby | None = None
        self._site.ask_for_quorum()

    def end(self) -> None:
        """Leave nothing running."""
        self._heal()
        self._site.end()
        self._dismiss()

    def live(self, seed: int) -> int:
        """One seed; how many rows were acknowledged so far, all of them found."""
        chance, standbys = random.Random(seed), random.Random(f"the standby of seed {seed}")
        self.told = [f"seed {seed}"]
        before = len(self._writer.acknowledged)
        with self._writer.at(self._site):
            wait_until(lambda: len(self._writer.acknowledged) > before, self._site.told)
            with self._followed(seed, standbys):
                for _ in range(1 if self._killing(seed) else 3):
                    self._hurt(chance)
                self._heal()
            at = len(self._writer.acknowledged)
            wait_until(lambda: len(self._writer.acknowledged) > at + 20, lambda: f"{self.told} {self._site.told()}")
            if self._standby is not None:
                self._strand(self._standby, standbys, seed)
            self._site.processes[-1].kill()
            self._site.kill_postgres()
        self._heal()
        self._site.end()
        self._are_linked(self.fleet.records[-1])
        return self._move(chance, seed, by_standby=self._standby is not None and standbys.random() < 0.5)

    @contextmanager
    def _followed(self, seed: int, chance: random.Random) -> Iterator[None]:
        """In some seeds a standby follows, and is killed at moments of its own."""
        if not self._with_standby(seed):
            self._dismiss()
            yield
            return
        if self._standby is None:
            self._standby = HotStandby(
                Site(self._folder, f"hot{len(self.fleet.records)}", self.fleet, self.fleet.records[-1])
            )
        self._standby.told = self.told
        with self._standby.under_kills(chance, lambda: max(self._writer.acknowledged)):
            yield

    def _dismiss(self) -> None:
        """No standby any more."""
        if self._standby is not None:
            self._standby.end()
            self._standby = None

    def _strand(self, standby: HotStandby, chance: random.Random, seed: int) -> None:
        """The last WAL reaches no vault but the one that is damaged next, and the standby may be dead by then."""
        name, damage = self._damage(seed)
        if damage not in UNREADABLE:  # else the restore would rightly refuse: nobody could tell what the last chunk was
            self.told.append(f"the last chunks in {name} alone")
            for other in set(self._proxies) - {name}:
                self._proxies[other].writes_only = True
                self._proxies[other].status = 500
            wait_until(lambda: self._stranded(name) & standby.kept(), lambda: f"{self.told} {standby.says()}")
            time.sleep(chance.uniform(0.3, 0.8))
        if chance.random() < 0.5:
            standby.kill(chance)

    def _hurt(self, chance: random.Random) -> None:
        """One fault for a moment."""
        fault = chance.choice([self._kill_ship, self._kill_postgres, self._kill_restic, *[self._bad_vault] * 4])
        fault(chance)

    def _kill_ship(self, chance: random.Random) -> None:
        self.told.append("kill -9 ship")
        self._site.processes[-1].kill()
        self._site.processes[-1].wait()
        time.sleep(chance.uniform(0, 0.3))
        self._site.ship()

    def _kill_postgres(self, chance: random.Random) -> None:
        """All of it, the postmaster alone, or one of its children, after which it starts the others again by itself."""
        moment = random.Random("; ".join(self.told))  # the others of this seed stay as they are
        victim = moment.choice(("all", "postmaster", "child"))
        self.told.append(f"kill -9 Postgres: {victim}")
        postmaster, *children = self._site.servers()
        if victim == "child":
            os.kill(moment.choice(children), signal.SIGKILL)
            return
        kill_all([postmaster] if victim == "postmaster" else [postmaster, *children])
        wait_until(lambda: not self._site.servers(), "what the postmaster left to end by itself")
        self._site.start()

    def _kill_restic(self, chance: random.Random) -> None:
        self.told.append("kill -9 snapshot and restic")
        argv = [sys.executable, "-m", "resilience.replication", "snapshot", "--config", str(self._site.ship_config())]
        process = subprocess.Popen(
            argv, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(0.3, 1.5))
        with contextlib.suppress(ProcessLookupError):
            signal_group(process, signal.SIGKILL)
        process.wait()

    def _bad_vault(self, chance: random.Random) -> None:
        name = chance.choice(sorted(self._proxies))
        bad = self._proxies[name]
        what = chance.choice(["status", "hang", "slow", "ambiguous", "truncate"])
        self.told.append(f"{name}: {what}")
        bad.truncate = what == "truncate"
        bad.accept_and_fail = what == "ambiguous"
        bad.status = chance.choice(ANSWERS) if what == "status" else None
        bad.delay = chance.uniform(0.2, 1.0) if what == "slow" else 0.0
        if what == "hang":
            bad.hang.clear()
        time.sleep(chance.uniform(0.2, 0.8))
        if chance.random() < 0.5:
            self._heal()

    def _heal(self) -> None:
        for each in self._proxies.values():
            each.be_well()

    def _stranded(self, name: str) -> set[str]:
        """Chunks of this epoch that no vault holds but this one."""
        held = {each: set(_chunks(self, each)) for each in self._proxies}
        return held[name].difference(*(held[other] for other in self._proxies if other != name))

    def _move(self, chance: random.Random, seed: int, *, by_standby: bool) -> int:
        """Damage one vault, restore elsewhere, compare, and let the next one be the primary."""
        name, damage = self._damage(seed)
        self.told.append(f"{name} afterwards: {damage.__name__}")
        damage(self, name)
        site = self._next(by_standby=by_standby)
        sealed = self._sealed(site.record)
        if not by_standby and not self._killing(seed) and chance.random() < 0.5:
            self._refuses_a_hole(site, sealed)
        config = site.config(sealed=sealed)
        merged = self._run(site, "restore", config, chance, seed, hot=by_standby)
        assert not by_standby or merged["restic_s"] == 0, f"{self.told}: the standby's own copy was not used"
        self._heal()
        if damage is one_altered and self.altered:
            self.fleet.vaults()[name].delete(self.altered)  # as the operator is told to; another's copy is put there
        recovered = self._run(site, "recover", config, chance, seed, hot=by_standby)
        if self._killing(seed):
            kills.promoted_once(site, merged, recovered, self.told)
        self._compare(site)
        self._site = site
        site.ship()
        site.ask_for_quorum()
        if damage is emptied:
            site.run("init-repo", config=site.config("operator"))
            site.wait_confirmed()
            site.run("snapshot", config=site.ship_config())
        if self._standby is not None:
            self._standby.crosses_to(site)
        return len(self._writer.acknowledged)

    def _are_linked(self, record: EpochRecord) -> None:
        """However often ship was killed, each chunk names the one before it."""
        found: dict[int, chunk.Header] = {}
        for name, vault in self.fleet.vaults().items():
            for key in _chunks(self, name):
                said = chunk.decode(vault.get(key) or b"", record) if layout.chunk_start(key) not in found else None
                found |= {} if said is None else {said[0].start: said[0]}
        ending = {header.end: header.sha256 for header in found.values()}
        loose = [header for header in found.values() if header.before != ending.get(header.start, "")]
        assert not loose, f"{self.told}: chunks that do not name the one before: {loose[:3]}"

    def _damage(self, seed: int) -> tuple[str, Damage]:
        """What is done to which vault after the primary is lost."""
        return sorted(self._proxies)[seed % len(self._proxies)], DAMAGES[seed % len(DAMAGES)]

    def _next(self, *, by_standby: bool) -> Site:
        """The next primary, sealed for: the standby, or a site where nothing is yet."""
        if by_standby and self._standby is not None:
            self.told.append("taken over by the standby")
            return self._standby.take_over(self.fleet.seal(self._standby.site.name))
        return self._make(self.fleet.seal(f"site{len(self.fleet.records) + 1}"))

    def _compare(self, site: Site) -> None:
        """Every acknowledged commit is here, and all that the standby showed; one that took over stands by no more."""
        rows = site.rows()
        missing = self._writer.acknowledged - set(rows)
        assert not missing, f"{self.told}: acknowledged and missing: {sorted(missing)[:9]}"
        if self._standby is not None:
            self._standby.showed_only(rows)
            if self._standby.site is site:
                self._standby.unwatch()
                self._standby = None

    def _killing(self, seed: int) -> bool:
        """Whether restore and recover are killed in this seed."""
        return (seed + seed // len(DAMAGES)) % 2 == 1

    def _run(
        self, site: Site, command: str, config: Path, chance: random.Random, seed: int, *, hot: bool
    ) -> dict[str, Any]:
        """One command to its end, in some seeds after it was killed on its way."""
        for _ in range(chance.choice([0, 1, 1, 2]) if self._killing(seed) else 0):
            self.told.append(kills.kill(site, command, config, chance, self._usual[hot][command]))
        began = time.monotonic()
        answer = site.run(command, config=config)
        if not self._killing(seed):
            self._usual[hot][command] = time.monotonic() - began
        return answer

    def _refuses_a_hole(self, site: Site, sealed: list[str]) -> None:
        """A chunk that all vaults have lost: the restore says which, and goes through once it is back."""
        vaults = self.fleet.vaults()
        last = self.fleet.records[-2].number
        keys = sorted({key for vault in self._readable() for key in vault.list(layout.wal(last))})
        chunks = [key for key in keys if layout.chunk_start(key) is not None]
        if len(chunks) < 3:
            return
        lost, after = chunks[len(chunks) // 2 :][:2]
        self.told.append(f"{lost} lost everywhere")
        kept = {name: data for name in self._proxies if (data := _get(vaults[name].get, lost)) is not None}
        for vault in self._readable():
            vault.delete(lost)
        error = site.run("restore", config=site.config(sealed=sealed), fails=True)
        assert error["kind"] == "BrokenChain", error
        begins, ends = (lsn.show(layout.chunk_start(key) or 0) for key in (lost, after))
        assert error["missing"] == f"WAL of epoch {last} from {begins} to {ends}", f"{self.told}: {error}"
        assert error["good_until"].startswith(f"{begins} ("), f"{self.told}: {error}"
        assert not site.running()
        for name, data in kept.items():
            with contextlib.suppress(ResilienceError):
                vaults[name].put_new(lost, data)

    def _readable(self) -> list[Vault]:
        good = {name for name, each in self._proxies.items() if each.status is None and not each.truncate}
        return [vault for name, vault in self.fleet.vaults().items() if name in good]

    def _sealed(self, record: EpochRecord) -> list[str]:
        answers = epochs.each(
            self.fleet.vaults(), lambda vault: epochs.read(vault, record.number, self.fleet.check) == record
        )
        return [name for name, answer in answers.items() if answer is True]

    def _make(self, record: EpochRecord) -> Site:
        return Site(self._folder, record.site, self.fleet, record)


def whole(lineage: Lineage, name: str) -> None:
    """Nothing is wrong."""


def emptied(lineage: Lineage, name: str) -> None:
    """Somebody removed everything."""
    vault = lineage.fleet.vaults()[name]
    for key in vault.list(""):
        vault.delete(key)


def one_lost(lineage: Lineage, name: str) -> None:
    """The last chunk is gone."""
    vault = lineage.fleet.vaults()[name]
    for last in _chunks(lineage, name)[-1:]:  # none came where it was bad from the first moment on
        vault.delete(last)


def one_altered(lineage: Lineage, name: str) -> None:
    """A bit of some chunk flipped."""
    chunks, lineage.altered = _chunks(lineage, name), ""
    for some in chunks[len(chunks) // 2 :][:1]:
        lineage.altered = some
        lineage.fleet.alter(name, some)


def refusing(lineage: Lineage, name: str) -> None:
    """The vendor has closed the account."""
    lineage._proxies[name].status = 403


def stale(lineage: Lineage, name: str) -> None:
    """Listings are as they were before the last chunks."""
    lineage._proxies[name].hidden = frozenset(_chunks(lineage, name)[-5:])


def flipping(lineage: Lineage, name: str) -> None:
    """Every chunk that is read has one bit altered."""
    lineage._proxies[name].flip = True


def truncating(lineage: Lineage, name: str) -> None:
    """Every body that is read ends half-way."""
    lineage._proxies[name].truncate = True


def hanging(lineage: Lineage, name: str) -> None:
    """Labels and chunks are given, the files of a snapshot never come."""
    lineage._proxies[name].only = "/data/"
    lineage._proxies[name].hang.clear()


def failing(lineage: Lineage, name: str) -> None:
    """The vendor has troubles, or lets us wait."""
    lineage._proxies[name].status = random.Random(name).choice((500, 429))


Damage = Callable[[Lineage, str], None]
DAMAGES: tuple[Damage, ...] = (
    one_lost, emptied, one_altered, refusing, stale, flipping, whole, failing, truncating, hanging
)  # fmt: skip
UNREADABLE = (flipping, truncating)
"""What these hold is there, and nobody can tell what it is."""


def _chunks(lineage: Lineage, name: str) -> list[str]:
    number = lineage.fleet.records[-1].number
    keys = lineage.fleet.vaults()[name].list(layout.wal(number))
    return [key for key in keys if layout.chunk_start(key) is not None]


def _get(get: Callable[[str], bytes | None], key: str) -> bytes | None:
    try:
        return get(key)
    except ResilienceError:
        return None


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a process and all it started."""
    os.killpg(process.pid, number)
