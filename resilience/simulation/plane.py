"""The data plane of all simulated sites: restore, recover, ship, snapshot."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from resilience.errors import ResilienceError, TooFewVaults
from resilience.model import EpochRecord, Fleet, Point, Site, SiteOutputs, Stage
from resilience.ports import Merged, ReadBack, Recovered, Snapshots
from resilience.replication import fetch_ledger, layout
from resilience.simulation import merging, points
from resilience.simulation.shipping import force_turn, reachable, ship, start_ship
from resilience.simulation.state import Held, Host, State

T = TypeVar("T")
UNSIGNED = b"nothing"
"""What lies under an entry's name and is none."""
HOT = 0.1
"""A host that follows has nearly all there already: so much of the time is left."""


@dataclass
class SimPlane:
    """The data plane of all sites."""

    sim: State
    fleet: Fleet
    left_out: frozenset[str] = frozenset()
    """Vaults that nothing here asks."""
    forced: bool = False
    """The vaults that are left are believed to be all."""

    def catch_up(self, site: Site, outputs: SiteOutputs, vault: str) -> Mapping[str, Any]:
        """A simulated ship leaves no vault behind; one that was emptied is given what the others of the epoch hold."""

        def copy(host: Host) -> Mapping[str, Any]:
            _need(host.ships is not None, "Nothing is shipped from here.", "Nobody says what a vault lacks.")
            assert host.ships is not None
            vaults = reachable(self.sim, host, host.ships)
            for other in (held for name, held in vaults.items() if name != vault and vault in vaults):
                vaults[vault].take(other)
            return {"vault": vault, "chunks": 0, "objects": 0}

        return self._on(outputs, "catch_up", 1.0, copy)

    def proven(self, site: Site, outputs: SiteOutputs, vault: str) -> None:
        """Its ship says it from now on."""

        def note(host: Host) -> None:
            host.verified[vault] = self.sim.now

        self._on(outputs, "proven", 0.3, note)

    def read_back(self, site: Site, outputs: SiteOutputs, found: Mapping[str, ReadBack]) -> None:
        """Its ship says from now on when that snapshot was taken."""

        def note(host: Host) -> None:
            _need(host.ships is not None and {*found} <= {*host.ships.vaults}, "Not of this epoch.", "No such vaults.")
            host.snapshot_at = min(copy.at for copy in found.values())

        self._on(outputs, "read_back", 0.3, note)

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> SimPlane:
        """The same, with no door to these vaults."""
        return replace(self, left_out=self.left_out | vaults, forced=forced)

    def _on(self, outputs: SiteOutputs, verb: str, seconds: float, act: Callable[[Host], T]) -> T:
        host = self.sim.hosts.get(outputs.site)
        if host is not None and host.follows:
            seconds *= HOT
        door = f"plane.{outputs.site}.{verb}"
        return self.sim.ask(door, outputs.vendor, seconds, lambda: act(answering(self.sim, outputs)))

    def _writer(self) -> Host | None:
        """The host that ships under the newest epoch."""
        ships = [(host.ships.number, host) for host in self.sim.hosts.values() if host.ships is not None]
        return max(ships, key=lambda pair: pair[0], default=(0, None))[1]

    def shape(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """Install what the host needs."""

        def install(host: Host) -> Mapping[str, Any]:
            host.shaped = True
            _need_no_newer(host, site, epoch)
            if epoch.site == site.name:
                host.told = epoch
            return {"packages": "supplies"}

        return self._on(outputs, "shape", 22.0, install)

    def follow(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """Follow what k vaults hold; an older database of this host's own is never written over."""

        def begin(host: Host) -> Mapping[str, Any]:
            _need_no_newer(host, site, epoch)
            _need(host.shaped, "There is no restic.", "The host has no shape yet.")
            _need(not host.promoted_under, "There is a database.", "It may be somebody's only copy.")
            vaults = merging.readable(self.sim, self.left_out)
            _need(any(held.snapshots for held in vaults.values()), "There is no snapshot.", "A copy begins with one.")
            host.follows, host.followed, host.told = True, epoch.number, None
            return {"follows": epoch.site, "epoch": epoch.number}

        return self._on(outputs, "follow", 8.0, begin)

    def create(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """An empty database; refuses where another epoch already has one."""

        def create(host: Host) -> Mapping[str, Any]:
            _need(host.shaped, "There is no Postgres.", "The host has no shape yet.")
            _need(host.promoted_under in {"", epoch.nonce}, "There is a database.", "It belongs to another epoch.")
            for held in reachable(self.sim, host, epoch).values():
                chain = held.chain(epoch.number)
                chain.opening = {} if chain.opening is None else chain.opening
            host.promoted_under = epoch.nonce
            return {}

        return self._on(outputs, "create", 2.0, create)

    def warm(self, site: Site, outputs: SiteOutputs) -> None:
        """Nothing has to be loaded here."""
        self._on(outputs, "warm", 1.0, lambda _host: None)

    def restore(
        self,
        site: Site,
        outputs: SiteOutputs,
        epoch: EpochRecord,
        accept_end: str | None = None,
        until: Mapping[str, Any] | None = None,
    ) -> Merged:
        """Rows of all vaults that answer, merged, put again into k vaults, the opening record last."""

        def restore(host: Host) -> Merged:
            _need(host.shaped, "There is no restic.", "The host has no shape yet.")
            host.follows = False
            if host.promoted_under != epoch.nonce:
                _need(not host.promoted_under, "There is a database.", "It may be somebody's only copy.")
                rows = merging.opening(self.sim, epoch, host, self.left_out, forced=self.forced, until=until)
                _empty(host)
                host.rows, host.restored_under, host.opens = dict(rows), epoch.nonce, epoch
            end = f"0/{len(host.rows):X}"
            return Merged("simulated", epoch.vaults[0], end, end, epoch.number, "1", len(host.rows), ())

        return self._on(outputs, "restore", 6.0, restore)

    def recover(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord, stood_down: str | None = None) -> Recovered:
        """Promote what was restored under this very epoch."""

        def promote(host: Host) -> Recovered:
            _need(host.restored_under == epoch.nonce, "Nothing to recover.", "No restore ran under this epoch.")
            host.promoted_under = epoch.nonce
            end = f"0/{len(host.rows):X}"
            planned = stood_down is not None and len(host.rows) >= int(stood_down.split("/")[1], 16)
            return Recovered(end, epoch.number, end, skipped=0 if planned else 100_000)

        return self._on(outputs, "recover", 3.0, promote)

    def fetch_ledger(self, site: Site, outputs: SiteOutputs) -> int:
        """All entries of epochs before this one that any vault holds; nothing is put into any vault."""

        def fetch(host: Host) -> int:
            listings, record = [held.objects for held in self._enough(host).values()], host.ships or host.opens
            sealed = [number for keys in listings for key in keys if (number := layout.epoch_number(key)) is not None]
            newest = (record.number if record else max(sealed, default=1)) - 1  # a restore may run beside this
            told = fetch_ledger.by_epochs(listings, newest)
            for number in sorted(told, reverse=True):
                for seq, key in told[number].items():
                    if (row := self._entry(key, record)) is not None:
                        host.ledger.setdefault(seq, row)
            return len(host.ledger)

        return self._on(outputs, "fetch_ledger", 0.5, fetch)

    def fetch_first(self, site: Site, outputs: SiteOutputs) -> int:
        """Here nothing is needed before all else."""
        return self._on(outputs, "fetch_first", 0.2, lambda _host: 0)

    def fetch_media(self, site: Site, outputs: SiteOutputs, named: Sequence[str] = ()) -> int:
        """Pictures that rows name and the host lacks, from whichever vault answers."""

        def fetch(host: Host) -> int:
            before = len(host.pictures)
            for held in self._enough(host).values():
                host.pictures |= held.pictures & (set(named) or set(host.rows))
            return len(host.pictures) - before

        return self._on(outputs, "fetch_media", 1.0, fetch)

    def fetch_ahead(self, site: Site, outputs: SiteOutputs, within_s: float) -> Mapping[str, Any]:
        """All that vaults hold by now, whether a row names it or not."""

        def fetch(host: Host) -> Mapping[str, Any]:
            _need(host.shaped, "There is no fetch-media.", "The host has no shape yet.")
            before = len(host.pictures)
            for held in merging.readable(self.sim, self.left_out).values():
                host.pictures |= held.pictures
            return {"objects": len(host.pictures), "fetched": len(host.pictures) - before, "left": 0, "lost": []}

        return self._on(outputs, "fetch_ahead", 60.0, fetch)

    def named(self, site: Site, outputs: SiteOutputs) -> Sequence[str]:
        """A row and its picture have one name here."""
        return self._on(outputs, "named", 0.3, lambda host: sorted(host.rows))

    def out_of_reach(self, site: Site, outputs: SiteOutputs, named: Sequence[str] = ()) -> Sequence[str]:
        """A host that follows has the rows that k vaults hold."""

        def fetch(host: Host) -> Sequence[str]:
            _need(bool(named) or host.follows, "There are no rows.", "Nothing follows there.")
            wanted = set(named) or self._followed()
            for held in merging.readable(self.sim, self.left_out).values():
                host.pictures |= held.pictures & wanted
            return sorted(wanted - host.pictures)

        return self._on(outputs, "out_of_reach", 1.0, fetch)

    def _followed(self) -> set[str]:
        """Rows that a standby has by now."""
        source = self._writer()
        return set() if source is None else source.rows.keys() - {*source.wal[source.confirmed :]}

    def nowhere(self, site: Site, outputs: SiteOutputs) -> Sequence[str]:
        """A row and its picture have one name here; vaults are asked only where some are lacking."""

        def look(host: Host) -> Sequence[str]:
            lacking = set(host.rows) - host.pictures
            held = (vault.pictures for vault in (self._enough(host).values() if lacking else ()))
            return sorted(lacking.difference(*held))

        return self._on(outputs, "nowhere", 0.3, look)

    def _enough(self, host: Host) -> dict[str, Held]:
        """Vaults that answer; where one does not that is not left out, so many that nothing k vaults held can be missed."""
        vaults = merging.readable(self.sim, self.left_out)
        record = host.ships or host.opens
        silent = self.sim.vaults.keys() - vaults.keys() - self.left_out
        doubtful = bool(silent) or any(held.rotten for held in vaults.values())
        if record is not None and doubtful and not self.forced:
            merging.refuse_blind(vaults, record.number)
        return vaults

    def _entry(self, key: str, record: EpochRecord | None) -> str | None:
        """An entry from whichever vault gives it; None where nobody does, and too few have the name for it to have counted."""
        vaults = merging.readable(self.sim, self.left_out)
        having = {name: held.objects[key] for name, held in vaults.items() if key in held.objects}
        row = next((data for data in having.values() if data != UNSIGNED), None)
        if row is None:
            may = record is None or sum(name in having or name not in vaults for name in record.vaults) >= record.k
            _need(not may, f"No vault gives {key} as it was signed.", "Somebody may have been told of it.")
        return None if row is None else row.decode()

    def start_ship(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Ship from now on, what this host opened under this epoch and nothing else."""

        def start(host: Host) -> None:
            _need(host.promoted_under == epoch.nonce, "ship does not start.", "The database is of another epoch.")
            _need(not host.fenced, "ship does not start.", "This site was told that it may not write.")
            if len(reachable(self.sim, host, epoch)) < epoch.k:
                raise TooFewVaults("Nothing is confirmed.", f"{epoch.k} vaults must answer.", "Bring a vault back.")
            start_ship(self.sim, host, epoch, self.fleet.replication.lapse_s)

        self._on(outputs, "start_ship", 1.0, start)

    def begin_ship(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """It takes no time to start here."""
        self._on(outputs, "begin_ship", 0.1, lambda _host: None)

    def admit(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord, vaults: Sequence[str]) -> None:
        """Every host can reach every vault here."""

        def tell(host: Host) -> None:
            _need_no_newer(host, site, epoch)
            host.told = epoch

        self._on(outputs, "admit", 1.0, tell)

    def await_turn(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """It turns in the next round, or not."""

        def turned(host: Host) -> None:
            _need_no_newer(host, site, epoch)
            ship(self.sim, host)
            _need(host.promoted_under == epoch.nonce, "ship did not turn.", "Too few vaults answer it.")

        self._on(outputs, "await_turn", 1.0, turned)

    def force_turn(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """It turns at once, unless it sees that another site may write."""

        def turned(host: Host) -> None:
            _need_no_newer(host, site, epoch)
            force_turn(self.sim, host, epoch)
            _need(host.promoted_under == epoch.nonce, "ship did not turn.", "It sees another site's epoch.")

        self._on(outputs, "force_turn", 1.0, turned)

    def snapshot(self, site: Site, outputs: SiteOutputs) -> Snapshots:
        """All rows into each vault of the epoch that answers; of a standby's, those that k vaults hold."""

        def take(host: Host) -> Snapshots:
            source = self._writer() if host.follows else host
            _need(source is not None and source.ships is not None, "No snapshot.", "Nothing is shipped from here.")
            assert source is not None
            assert source.ships is not None
            held_by_k = self._followed() if host.follows else source.rows.keys()
            rows = {row: at for row, at in source.rows.items() if row in held_by_k}
            name = f"{len(rows)}-{host.number}"
            reached = reachable(self.sim, host, source.ships)
            for held in reached.values():
                held.snapshots[name] = dict(rows)
                held.objects[f"label/{source.ships.number:08d}/{len(rows):016X}-{name}.json"] = b""
            if not host.follows:  # of a standby's nobody tells the site before a vault gave it back
                host.snapshot_at = self.sim.now
            silent = [vault for vault in source.ships.vaults if vault not in {*reached, *self.left_out}]
            return Snapshots(dict.fromkeys(reached, name), dict.fromkeys(silent, "It does not answer."))

        return self._on(outputs, "snapshot", 4.0, take)

    def verify_snapshot(self, vault: str, snapshot: str) -> ReadBack | None:
        """What the vault really holds; one that is left out is not asked. It is told of as taken now."""
        if vault in self.left_out:
            return None
        held = self.sim.vaults[vault]

        def look() -> ReadBack | None:
            rows = held.snapshots.get(snapshot)
            return None if rows is None else ReadBack(f"0/{len(rows):X}", self.sim.now)

        return self.sim.ask(f"vault.{vault}.verify", held.vendor, 0.5, look)

    def versions(self, site: Site, outputs: SiteOutputs) -> Mapping[str, str]:
        """Every simulated host is of one kind."""
        return self._on(
            outputs, "versions", 0.1, lambda _: {"arch": "x86_64", "postgres": "15", "collation": "C.UTF-8 -"}
        )

    def shipped(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """What each vault lacks; where ship never ran there is no such file, and where it was stopped for good the file is old."""

        def say(host: Host) -> Mapping[str, Any]:
            _need(host.ships is not None, "There is no ship-status.json.", "Ship never ran here.")
            said = {**_shipped(host), "epoch": host.ships.number if host.ships else None}
            return {**said, "age_s": 3600.0} if host.fenced else said

        return self._on(outputs, "shipped", 0.1, say)

    def database(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Whatever is there, of whichever epoch."""
        return self._on(
            outputs,
            "database",
            0.1,
            lambda host: {
                "there": bool(host.promoted_under),
                "nonce": host.promoted_under,
                "told": host.told.nonce if host.told else "",
            },
        )

    def set_aside(self, site: Site, outputs: SiteOutputs, newest: EpochRecord) -> Mapping[str, Any]:
        """A database of an older epoch is out of the way; one of a newer is nobody's but that one's."""

        def move(host: Host) -> Mapping[str, Any]:
            if host.told is None or host.told.nonce in {"", newest.nonce}:
                return {"aside": ""}
            _need(
                host.told.number <= newest.number, f"{site.name} was told of a newer epoch.", "Another machine went on."
            )
            _empty(host)
            host.told = None
            host.rows, host.pictures, host.ledger = {}, set(), {}
            return {"aside": "/aside"}

        return self._on(outputs, "set_aside", 0.2, move)

    def stand_down(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Look for the newer epoch at once, hand over, and stay stopped."""

        def stop(host: Host) -> Mapping[str, Any]:
            if host.ships is not None and not host.fenced:
                ship(self.sim, host)
            _need(host.fenced, f"{site.name} does not stop.", "It sees no newer epoch.")
            behind = [vault for vault, put in host.put.items() if put < len(host.wal)]
            _need(len(host.put) - len(behind) >= (host.ships.k if host.ships else 1), "Vaults lack WAL.", str(behind))
            return {"end_lsn": f"0/{len(host.rows):X}"}

        return self._on(outputs, "stand_down", 1.0, stop)

    def witness(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """The rows it has now; it is here at once what it takes a real one time to see."""

        def see(host: Host) -> Mapping[str, Any]:
            _need(host.ships is not None, "Ship has no slot here.", "Nothing is shipped from here.")
            assert host.ships is not None
            seen = {"epoch": host.ships.number, "at": self.sim.now, "position": f"0/{len(host.wal):X}"}
            return {**seen, "snapshots": {}, "tables": {"writes": points.tally(host.rows)}, "left_out": {}}

        return self._on(outputs, "witness", 5.0, see)

    def verify(self, vault: str, at: str | None, witness: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Whether it holds a snapshot and every row that k vaults hold; with a witness the rows up to then are counted."""
        held = self.sim.vaults[vault]

        def look() -> Mapping[str, Any]:
            _need(bool(held.snapshots), f"{vault} holds no snapshot.", "It was never given one, or lost it.")
            rows = {row for snapshot in held.snapshots.values() for row in snapshot}
            rows |= {row for chain in held.chains.values() for row in (*(chain.opening or ()), *chain.rows)}
            found = {"end_lsn": f"0/{len(rows):X}", "rows": len(rows), "digest": "", "pictures": None}
            told = {"ok": True, **found, "restore_s": 20.0, "passed_over": []}
            if witness is not None:
                return {**told, **points.seen_with(held, witness), "early": []}
            _need(self.sim.confirmed <= rows, f"{vault} lacks rows.", "They are in other vaults.")
            return told

        return self.sim.ask(f"vault.{vault}.restore", held.vendor, 20.0, look)

    def prune(self, vault: str, proven: Sequence[str], unlabelled: Sequence[str], *, really: bool) -> Mapping[str, Any]:
        """What was taken before the oldest of these; here each has a label."""
        held = self.sim.vaults[vault]
        for snapshot in proven:
            _need(snapshot in held.snapshots, f"{vault} does not hold {snapshot}.", "It was removed.")
        older = list(itertools.takewhile(lambda name: name not in proven, held.snapshots))
        if really:
            held.snapshots = {name: rows for name, rows in held.snapshots.items() if name not in older}
        return {"vault": vault, "snapshots": len(older), "chunks": 0, "unlabelled": 0, "waiting": [], "removed": really}

    def removed(self) -> Mapping[str, Any]:
        """What any vault's ledger names; a row and its picture have one name here."""

        def look() -> Mapping[str, Any]:
            objects = {key: data for held in self.sim.vaults.values() for key, data in held.objects.items()}
            rows = [objects[key].decode() for key in sorted(objects) if key.startswith("ledger/")]
            return {"entries": len(rows), "head": "", "pictures": {row: n for n, row in enumerate(rows, 1)}}

        return self.sim.ask("plane.removed", None, 0.5, look)

    def point(self, at: str | None, of: int | None = None) -> Point:
        """A position is a number of rows; a time is looked up in them."""
        return self.sim.ask("plane.point", None, 2.0, lambda: points.find(self.sim, self.left_out, at, of))

    def restore_at(self, folder: Path, at: str | None, of: int | None = None) -> Mapping[str, Any]:
        """A file that names the rows; nothing in it is real."""
        rows = self.sim.ask("plane.restore_at", None, 20.0, lambda: points.rows(self.sim, self.left_out, at, of))
        (folder / "rows.json").write_text(json.dumps(sorted(rows)))
        end = f"0/{len(rows):X}"
        return {"pg": str(folder), "end_lsn": end, "vault": "simulated", "seconds": 20.0, "rows": len(rows)}

    def locked(self, site: Site, outputs: SiteOutputs) -> bool:
        """Memory has no disk."""
        return False

    def status(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Sizes and lag; which epoch is the newest is asked of every vault."""

        def say(host: Host) -> Mapping[str, Any]:
            for name, held in self.sim.vaults.items():
                if held.vendor in self.sim.dead and name not in self.left_out:
                    self.sim.note_call(f"vault.{name}.get", held.vendor)
            if host.follows:
                writer = self._writer()
                epoch = writer.ships.number if writer is not None and writer.ships is not None else None
                told = {"role": "standby", "follows": "", "epoch": epoch, "readable": True}
                return {**told, "age_s": 0.0, "lag_seconds": 0.0, "pictures_lacking": 0}
            lag = 0.0 if host.confirmed == len(host.wal) else self.sim.now - host.rows[host.wal[host.confirmed]]
            sizes = {"db_bytes": 1000 * len(host.rows), "media_bytes": 50_000 * len(host.pictures)}
            return {
                **sizes,
                "lag_seconds": lag,
                "at_risk": {"seconds": lag, "transactions": len(host.wal) - host.confirmed, "objects": 0},
                **_shipped(host),
                "epoch": host.ships.number if host.ships else None,
            }

        return self._on(outputs, "status", 0.1, say)


def answering(state: State, outputs: SiteOutputs) -> Host:
    """The host at these outputs, when it answers over SSH."""
    host = state.hosts.get(outputs.site)
    if host is None or not host.alive:
        raise ResilienceError(
            f"{outputs.addresses[0]} does not answer over SSH.",
            "The host is gone, or its network is.",
            "Run the same command again: what is gone is made anew.",
        )
    return host


def _empty(host: Host) -> None:
    """A new data directory: nothing of what ran here before goes on."""
    host.serving = host.fenced = False
    host.stage, host.opened_under = Stage.CLOSED, ""
    host.promoted_under = host.walked_under = ""
    host.ships, host.wal, host.put, host.pictured, host.again, host.confirmed = None, [], {}, {}, {}, 0
    host.hidden = set()


def _shipped(host: Host) -> Mapping[str, Any]:
    vaults = {
        v: {
            "lsn": f"0/{put:X}",
            "lag_bytes": len(host.wal) - put,
            "backlog_objects": len(host.wal) - host.pictured[v] + len(host.again.get(v, ())),
            "verified_at": host.verified.get(v),
        }
        for v, put in host.put.items()
    }
    lag = len(host.wal) - host.confirmed
    said = {"age_s": 0.0, "lag_bytes": lag, "confirmed_lsn": f"0/{host.confirmed:X}", "vaults": vaults}
    return {**said, "snapshot": None if host.snapshot_at is None else {"at": host.snapshot_at}}


def _need_no_newer(host: Host, site: Site, epoch: EpochRecord) -> None:
    """Whoever tells a host of an epoch knows of the newest that it was told of; one that is prepared has no nonce yet."""
    told = host.told.number if host.told is not None and host.told.nonce else 0
    newest = max(told, host.followed if host.follows else 0)
    known = epoch.number if epoch.nonce else epoch.number - 1
    _need(newest <= known, f"{site.name} was told of a newer epoch.", "Another machine went on.")


def _need(there: bool, what: str, why: str) -> None:  # noqa: FBT001
    if not there:
        raise ResilienceError(what, why, "Run the plan's steps in their order.")
