"""The data plane on a site's host, over SSH: `python -m resilience.replication …` there."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resilience.adapters import leaving
from resilience.adapters.host_commands import HostCommands
from resilience.adapters.host_config import HostConfig
from resilience.adapters.host_places import ETC, PYTHON, RUN
from resilience.adapters.host_scripts import (
    AWAIT_FOLLOW,
    AWAIT_SHIP,
    AWAIT_TURN,
    BEGUN,
    CREATE,
    DATABASE_SIZE,
    FOLLOW_KEYS,
    MAKE_ROOM,
    READ_ANEW,
    STAND_STILL,
    STANDING,
    TAKE_UP,
    UNMASK,
    VERSIONS,
)
from resilience.adapters.shells import Shells
from resilience.adapters.supplies import VaultSupplies
from resilience.errors import NoSnapshot, Refused, ResilienceError, VaultError
from resilience.host.shape import Keys, hand_over, is_locked, open_disk, put_keys, shape_host, take_up
from resilience.host.spec import File, site_host
from resilience.model import CLOUDS, EpochRecord, Point, Site, SiteOutputs
from resilience.ports import Merged, ReadBack, Recovered, Snapshots, Vault
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication import layout, lsn
from resilience.replication.spool import Hole

FETCH_FIRST = "fetch-media --first"
A_DAY_S = 86_400.0
"""Many pictures take long, and nobody waits for them; interrupted, it goes on where it was."""


@dataclass(frozen=True)
class SshPlane:
    """The port Plane: one fleet's hosts."""

    shells: Shells
    config: HostConfig
    supplies: VaultSupplies

    @property
    def commands(self) -> HostCommands:
        """The data plane's commands."""
        return HostCommands(self.shells)

    def shape(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """Packages, users, units and files; the keys of this site and epoch, which are all that a ready standby needs."""
        began, where = time.monotonic(), self.supplies.sources(epoch.vaults)
        newest = epoch.number if epoch.nonce else epoch.number - 1  # a move is prepared: that epoch is not sealed yet
        keys = Keys(site.name, newest, self.config.keys(site, epoch))
        shell = self.shells(outputs)
        if site.disk_key:
            self._open_disk(site, outputs)
        if epoch.site == site.name and site.standby == "hot" and hand_over(shell, site_host(), where, keys):
            shell.check(STAND_STILL, timeout=60)  # else it asks vaults of which it does not know that they are lost
            return {"seconds": round(time.monotonic() - began, 2), "already": True}
        self.shells.forget(outputs)  # it loaded what was installed before
        if site.stack in CLOUDS:
            self.shells.await_first_boot(outputs)
        return shape_host(self.shells.login(outputs), shell, site_host(), where, keys)

    def _open_disk(self, site: Site, outputs: SiteOutputs) -> None:
        if site.stack in CLOUDS:
            self.shells.await_first_boot(outputs)
        open_disk(self.shells(outputs), self.config.kit.disk_key(site.name))

    def locked(self, site: Site, outputs: SiteOutputs) -> bool:
        """Whether the host's disk waits for its key, as it does after a boot."""
        return site.disk_key and is_locked(self.shells(outputs))

    def create(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """An empty database cluster with the app's database; does nothing where one is."""
        return {"said": self.shells(outputs).check(CREATE, timeout=120)}

    def follow(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """Start to follow; return once the standby can be read. Its keys are handed over into memory."""
        shell, config = self.shells(outputs), json.dumps(self.config.follower(site, epoch))
        take_up(shell, Keys(site.name, epoch.number, [File(FOLLOW_KEYS, config, mode="600")]), first=MAKE_ROOM)
        shell.check(TAKE_UP, timeout=30)
        found = shell.check(f"{PYTHON} -c '{AWAIT_FOLLOW}'", timeout=3600)
        return dict(json.loads(found.strip().splitlines()[-1]))

    def warm(self, site: Site, outputs: SiteOutputs) -> None:
        """Start the commands that come next; each waits for its configuration, which alone makes it do anything."""
        self.commands.get_ready(outputs, "restore", "fetch-ledger", FETCH_FIRST, "recover", "nowhere")

    def restore(
        self,
        site: Site,
        outputs: SiteOutputs,
        epoch: EpochRecord,
        accept_end: str | None = None,
        until: Mapping[str, Any] | None = None,
    ) -> Merged:
        """Snapshot and chain onto the host; the chain's end put again, the opening record put."""
        self.shells(outputs).check(STAND_STILL, timeout=60)
        config = {**self.config.reader(site, epoch), "accept_end": accept_end, "until": until and dict(until)}
        try:
            found = self.commands.there(outputs, "restore", config, timeout=3600)
        except NoSnapshot:
            if not (mirrors := self.config.mirrored("reader")):
                raise
            found = self.commands.there(outputs, "restore", {**config, "mirrors": mirrors}, timeout=3600)
        return Merged(**{**found, "healed": tuple(found["healed"])})

    def recover(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord, stood_down: str | None = None) -> Recovered:
        """Replay to the chain's end and promote."""
        ended = {} if stood_down is None else {"stood_down": stood_down}
        config = {**self.config.reader(site, epoch), **ended}
        found = self.commands.there(outputs, "recover", config, timeout=3600)
        told = {k: found[k] for k in ("switch_lsn", "timeline", "end_lsn", "replay_s")}
        return Recovered(**told, skipped=found.get("skipped"))

    def fetch_ledger(self, site: Site, outputs: SiteOutputs) -> int:
        """All ledger entries that any vault holds, of whatever epoch."""
        config = self.config.reader(site, self.config.newest(site), also=tuple(self.config.vaults))
        return int(self.commands.there(outputs, "fetch-ledger", config)["entries"])

    def fetch_first(self, site: Site, outputs: SiteOutputs) -> int:
        """What the app's rows name first and the host lacks."""
        config = self.config.reader(site, self.config.newest(site))
        return int(self.commands.there(outputs, FETCH_FIRST, config, timeout=3600)["fetched"])

    def fetch_media(self, site: Site, outputs: SiteOutputs, named: Sequence[str] = ()) -> int:
        """Pictures that the host lacks, of these or of all."""
        config = {**self.config.reader(site, self.config.newest(site)), "named": list(named)}
        return int(self.commands.there(outputs, "fetch-media", config, timeout=A_DAY_S)["fetched"])

    def fetch_ahead(self, site: Site, outputs: SiteOutputs, within_s: float) -> Mapping[str, Any]:
        """As a standby may: there are no rows on the host yet, so the vaults are listed."""
        config, words = {**self.config.watcher(), "site": site.name}, ("--listed", "--within", f"{within_s:.0f}")
        return self.commands.there(outputs, "fetch-media", config, *words, timeout=within_s + 600)

    def named(self, site: Site, outputs: SiteOutputs) -> Sequence[str]:
        """Asked of the database, for which no credential is needed there."""
        config = {**self.config.bare(site, self.config.newest(site)), "media_query": self.config.media_query}
        return [str(name) for name in self.commands.there(outputs, "named", config, timeout=600)["named"]]

    def out_of_reach(self, site: Site, outputs: SiteOutputs, named: Sequence[str] = ()) -> Sequence[str]:
        """As a standby may."""
        config = {**self.config.watcher(), "site": site.name, "named": list(named)}
        found = self.commands.there(outputs, "fetch-media", config, timeout=A_DAY_S)
        return [str(name) for name in found["lost"]]

    def nowhere(self, site: Site, outputs: SiteOutputs) -> Sequence[str]:
        """Listed from the host, which is nearer to the vaults than an operator may be."""
        config = self.config.reader(site, self.config.newest(site))
        found = self.commands.there(outputs, "nowhere", config, timeout=600)
        if "objects" not in found:  # it looks for what it is named alone, and nothing was
            raise Refused(
                f"Whether pictures are nowhere is not known: {site.name}'s host has an older version of this program.",
                "That one does not ask the rows which there are.",
                f"Bring the host up to date (`resilience up {site.name}`), then run the same command again.",
            )
        return [str(name) for name in found["nowhere"]]

    def begin_ship(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Start it once follow's keys are gone, and do not wait; `start_ship` knows by the nonce that it was begun."""
        line = f"{STAND_STILL}; systemctl restart --no-block resilience-ship && echo {epoch.nonce} > {BEGUN}"
        self.shells(outputs).check(line, timeout=60)

    def start_ship(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Start Postgres, and ship unless that was begun; return when ship says it ships under this epoch.

        This ship, and no earlier one: while it starts the lease may end, and Postgres with it until ship has asked the vaults.
        """
        begun = f'[ "$(cat {BEGUN} 2>/dev/null)" = {epoch.nonce} ] && systemctl is-active -q resilience-ship'
        anew = f"systemctl stop resilience-ship; rm -f {RUN}/ship-status.json; systemctl start resilience-ship"
        ship = f"{{ {begun} || {{ {anew}; }}; }}"
        line = f"{STAND_STILL}; {UNMASK}; systemctl start resilience-postgres && {ship} && rm -f {BEGUN}"
        self.shells(outputs).check(line, timeout=3600)  # after a power cut Postgres syncs all and replays first
        script = AWAIT_SHIP.format(number=epoch.number, run=RUN)
        self.shells(outputs).check(f"{PYTHON} -c '{script}'", timeout=60)
        self.shells(outputs).check(READ_ANEW)  # not before ship: who waits for no vault any more needs its lease

    def admit(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord, vaults: Sequence[str]) -> None:
        """Give ship the credentials for these vaults, and start it again with them."""
        self._keep_ship(outputs, epoch, self.config.ship(site, epoch, also=vaults))
        self.shells(outputs).check("systemctl restart resilience-ship", timeout=60)

    def await_turn(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Wait for ship to turn; then its file says the same, and names no vault that was left out."""
        script = AWAIT_TURN.format(number=epoch.number, k=epoch.k, run=RUN)
        self.shells(outputs).check(f"{PYTHON} -c '{script}'", timeout=60)
        self._keep_ship(outputs, epoch, self.config.ship(site, epoch))

    def force_turn(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Tell ship by its file, start it again, and wait: Postgres, which a lapsed lease stopped, is started by ship."""
        self._keep_ship(outputs, epoch, {**self.config.ship(site, epoch), "forced": True})
        self.shells(outputs).check("systemctl restart resilience-ship", timeout=60)
        self.await_turn(site, outputs, epoch)

    def _keep_ship(self, outputs: SiteOutputs, epoch: EpochRecord, config: Mapping[str, Any]) -> None:
        """Replace ship's configuration on the host at once; it comes through a pipe."""
        file = File(f"{ETC}/ship.json", json.dumps(config), mode="600")
        put_keys(self.shells(outputs), Keys(epoch.site, epoch.number, [file]))

    def snapshot(self, site: Site, outputs: SiteOutputs) -> Snapshots:
        """One snapshot into each vault of the epoch; a standby's labels are signed here."""
        newest = self.config.seen()
        if newest is not None and newest.site != site.name:
            return self._snapshot_of_standby(site, outputs, newest)
        epoch = self.config.newest(site)
        self._init_repositories(site, epoch, layout.repository(epoch.number))
        config = self.config.ship(site, epoch, restic=True)
        found = self.commands.there(outputs, "snapshot", config, timeout=3600)
        return Snapshots(_words(found["snapshots"]), _words(found["failed"]))

    def _snapshot_of_standby(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Snapshots:
        """The standby copies; what it says of its copies counts once the operator has signed it."""
        writer = self.config.fleet.site(epoch.site)
        self._init_repositories(writer, epoch, layout.standby_repository(epoch.number), "--standby")
        found = self.commands.there(outputs, "standby-snapshot", self.config.copier(site, epoch), timeout=3600)
        taken = labels.certify(self.vaults, epoch, site.name, found["labels"], self.config.signer.sign)
        copied = [str(label["vault"]) for label in found["labels"]]
        unlabelled = {vault: "it took the snapshot, and not its label" for vault in copied if vault not in taken}
        return Snapshots(taken, {**_words(found["failed"]), **unlabelled})

    def verify_snapshot(self, vault: str, snapshot: str) -> ReadBack | None:
        """Read the snapshot back on this machine, as the reader, who can't write."""
        epoch = epochs.newest_of(self.vaults, self.config.signer.verify)
        if epoch is None:
            return None
        config = self.config.reader(self.config.fleet.site(epoch.site), epoch)
        found = self.commands.here("verify-snapshot", config, "--vault", vault, "--snapshot", snapshot)
        return ReadBack(found["needs_from"], found["at"]) if found["ok"] else None

    def read_back(self, site: Site, outputs: SiteOutputs, found: Mapping[str, ReadBack]) -> None:
        """A note on the host, which ship reads; it takes no credential."""
        config = self.config.bare(site, self.config.newest(site))
        start, at = min(lsn.parse(copy.start_lsn) for copy in found.values()), min(copy.at for copy in found.values())
        words = ("--vaults", *found, "--from", lsn.show(start), "--at", f"{at:.3f}")
        self.commands.there(outputs, "read-back", config, *words)

    def witness(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Counted on the primary's host, one table after the other."""
        return self.commands.there(outputs, "witness", self.config.bare(site, self.config.newest(site)), timeout=3600)

    def verify(self, vault: str, at: str | None, witness: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Restore from this vault alone on this machine, start it, check and count it."""
        if vault in self.vaults:
            config = {**self.config.watcher(), "witness": None if witness is None else dict(witness)}
            return self.commands.here("verify", config, "--vault", vault, *(("--at", at) if at else ()))
        of, config = self._double(vault)
        return self.commands.here("verify", config, "--vault", of)

    def proven(self, site: Site, outputs: SiteOutputs, vault: str) -> None:
        """A note on the host, which ship reads; it takes no credential."""
        config = self.config.bare(site, self.config.newest(site))
        self.commands.there(outputs, "verified", config, "--vault", vault)

    def prune(self, vault: str, proven: Sequence[str], unlabelled: Sequence[str], *, really: bool) -> Mapping[str, Any]:
        """Remove from this vault what lies before the oldest of these snapshots, and those without a label, with the operator's own credentials."""
        epoch = self.config.seen()
        if epoch is None:
            raise ResilienceError("No vault shows an epoch.", "There is nothing to prune.", "Run `resilience status`.")
        of, config = vault, self.config.operator(self.config.fleet.site(epoch.site), epoch, vault)
        if vault not in self.vaults:
            of, config = self._double(vault, proven[-1])
        args = ["--vault", of, "--proven", *proven]
        args += [*(["--unlabelled", *unlabelled] if unlabelled else []), *(["--really"] if really else [])]
        return {**self.commands.here("prune", config, *args), "vault": vault}

    def removed(self) -> Mapping[str, Any]:
        """What the ledger in the vaults says is gone, checked on this machine."""
        return self.commands.here("removed", self.config.auditor())

    def restore_at(self, folder: Path, at: str | None, of: int | None = None) -> Mapping[str, Any]:
        """A copy on this machine as it was at a moment, below an empty folder."""
        config = {**self.config.watcher(), "mirrors": self.config.mirrored("operator")}
        return self.commands.into(folder, "restore-at", config, *_moment(at, of))

    def point(self, at: str | None, of: int | None = None) -> Point:
        """Read from the vaults, on this machine."""
        return Point(**self.commands.here("point", self.config.watcher(), *_moment(at, of)))

    def status(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """What ship says, with the sizes of database and pictures, the latter told from some where they are many; of a standby what follow says, which takes no command."""
        now, _, told = self.shells(outputs).run(STANDING, timeout=20).out.partition("\n")
        if told:
            return _aged(json.loads(told), now)
        epoch = self.config.seen() or self.config.newest(site)
        shipped = self.commands.there(outputs, "status", self.config.bare(site, epoch), timeout=20)
        return {**shipped, "db_bytes": int(self.shells(outputs).check(DATABASE_SIZE))}

    def versions(self, site: Site, outputs: SiteOutputs) -> Mapping[str, str]:
        """Asked of the machine and of the database that runs there; no collation where none does."""
        told = (line.partition(" ") for line in self.shells(outputs).check(VERSIONS, timeout=20).splitlines())
        return {name: said for name, _, said in told if said}

    def shipped(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Ship's own file, and how old it is by the host's own time."""
        now, _, told = self.shells(outputs).check(f"date +%s.%N && cat {RUN}/ship-status.json").partition("\n")
        return _aged(json.loads(told), now)

    def database(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """By the note that restores leave in its folder."""
        if site.disk_key:  # locked, it would look like a host where nothing was
            self._open_disk(site, outputs)
        return leaving.database(self.shells(outputs))

    def set_aside(self, site: Site, outputs: SiteOutputs, newest: EpochRecord) -> Mapping[str, Any]:
        """Make room where an older epoch left something."""
        if site.disk_key:  # locked, it would look like a host where nothing was
            self._open_disk(site, outputs)
        return leaving.set_aside(self.shells(outputs), site.name, newest)

    def stand_down(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Stop a superseded site for good; where its WAL ends."""
        return leaving.stand_down(self.shells(outputs), site.name)

    def catch_up(self, site: Site, outputs: SiteOutputs, vault: str) -> Mapping[str, Any]:
        """Copy from here what a vault that was left behind lacks, but for what nobody has; then tell the primary's ship."""
        said = self.status(site, outputs)
        epoch = self._shipped_under(site, said)
        facts, lost = said["vaults"].get(vault, {}), [Hole.told(part) for part in said.get("lost", ())]
        emptied, hole = bool(facts.get("emptied")), facts.get("hole")
        if not emptied:
            self._refuse_unnoticed(vault, epoch)
        if hole is not None:
            return self._filled(site, outputs, epoch, vault, replace(Hole.told(hole), emptied=emptied), lost)
        if not facts or not (emptied or self._lacks(vault, layout.epoch(epoch.number))):
            return {"vault": vault, "chunks": 0, "objects": 0}
        # ship counts it for all: nothing that is in it proves that it was not emptied, but a snapshot and all WAL since
        end, why = max((part.end for part in lost), default=0), f"it does not show epoch {epoch.number}"
        begin = self._refuse_uncopied(vault, epoch, end, why)
        return self._copied(site, epoch, vault, [Hole(begin, lsn.parse(facts["lsn"]), 0.0)])

    def _filled(
        self, site: Site, outputs: SiteOutputs, epoch: EpochRecord, vault: str, hole: Hole, lost: Sequence[Hole]
    ) -> Mapping[str, Any]:
        """Copy what is in this hole and not lost; then tell ship."""
        gone = [part for part in lost if part.start < hole.end and hole.start < part.end]
        why = "some of it was lost before any vault had it"
        if hole.emptied:  # a snapshot leads past all that was there
            gone, why = [hole], "it was emptied"
        if gone:
            self._refuse_uncopied(vault, epoch, max(part.end for part in gone), why)
        parts = hole.without(gone) or [replace(hole, start=hole.end)]  # pictures and ledger are copied all the same
        done = self._copied(site, epoch, vault, parts)
        self.commands.there(outputs, "caught-up", self.config.ship(site, epoch), *_ends(vault, hole))
        return done

    def _copied(self, site: Site, epoch: EpochRecord, vault: str, parts: Sequence[Hole]) -> Mapping[str, Any]:
        """What was copied into a vault: this WAL, pictures and ledger."""
        config = self.config.reader(site, epoch)
        copied = [self.commands.here("catch-up", config, *_ends(vault, part)) for part in parts]
        chunks, objects = (sum(int(done[what]) for done in copied) for what in ("chunks", "objects"))
        return {"vault": vault, "chunks": chunks, "objects": objects, "unreadable": copied[-1]["unreadable"]}

    def _lacks(self, vault: str, *keys: str) -> bool:
        """Whether none of these is there."""
        return not any(self.vaults[vault].exists(key) for key in keys)

    def _refuse_unnoticed(self, vault: str, epoch: EpochRecord) -> None:
        """An error where a vault was emptied and ship goes on as if it held all: filled now, it would never be known to lack anything."""
        if self._lacks(vault, layout.epoch(epoch.number), layout.first(epoch.number)):
            raise ResilienceError(
                f"{vault} shows nothing of epoch {epoch.number}, and {epoch.site}'s ship did not notice yet.",
                "It was emptied just now, or did not answer until now; ship looks once a minute.",
                "Run this again in two minutes.",
            )

    def _refuse_uncopied(self, vault: str, epoch: EpochRecord, end: int, why: str) -> int:
        """Where the WAL begins that a snapshot needs which this vault gave back; refused where none leads past lost WAL.

        Alone the vault could not give the database back, and would count. A label proves nothing: what it names is read.
        """
        found = labels.find({vault: self.vaults[vault]}, {epoch.number: epoch}, self.config.signer.verify)
        doubts = []
        for label in (label for of_one in found for label in of_one if label.needs_from >= end):
            try:
                copy = self.verify_snapshot(vault, label.snapshot)
            except VaultError as error:
                doubts.append(f" {error.what}")
                continue
            if copy is not None and (begin := lsn.parse(copy.start_lsn)) >= end:
                return begin
            doubts.append(f" {label.snapshot} was not given back.")
        raise Refused(
            f"{vault} can't be given all that it lacks: {why}.",
            f"It holds no snapshot whose WAL begins at {lsn.show(end)} or later, so it could not give the database back."
            + "".join(doubts[:3]),
            f"Take one: `resilience snapshot`. Then `resilience catch-up {vault}` again.",
        )

    def _shipped_under(self, site: Site, said: Mapping[str, Any]) -> EpochRecord:
        """The epoch that ship says it is under: the newest, or one from which it has not turned yet."""
        newest = self.config.newest(site)
        under = epochs.may_be_under(self.vaults, newest, self.config.signer.verify)
        return next((record for record in under if record.nonce == said["nonce"]), newest)

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> SshPlane:
        """The same, with no door to these vaults: no configuration names them, and `forced` none is missed."""
        left = {name: vault for name, vault in self.vaults.items() if name not in vaults}
        mirrors = {name: mirror for name, mirror in self.config.mirrors.items() if name not in vaults}
        return replace(self, config=replace(self.config, vaults=left, mirrors=mirrors, forced=forced))

    def _double(self, mirror: str, snapshot: str = "") -> tuple[str, dict[str, Any]]:
        """Of which vault a mirror holds this snapshot, or the newest of all, and what looking at it there takes."""
        found = self.config.holding(mirror, snapshot)
        if found is None:
            raise NoSnapshot(f"{mirror} holds no such snapshot.", "It was not copied.", "Run `resilience snapshot`.")
        return found, self.config.double(mirror, found)

    def _init_repositories(self, site: Site, epoch: EpochRecord, folder: str, *args: str) -> None:
        """Make each vault's restic repository, as the operator; nothing where there is one."""
        for vault in (name for name in epoch.vaults if name in self.vaults):
            if not self.vaults[vault].exists(f"{folder}/config"):
                self.commands.here("init-repo", self.config.operator(site, epoch, vault), *args)

    @property
    def vaults(self) -> Mapping[str, Vault]:
        """Opened by the operator, to read epochs."""
        return self.config.vaults


def _aged(facts: Mapping[str, Any], now: str) -> dict[str, Any]:
    return {**facts, "age_s": round(float(now) - float(facts["at"]), 3)}


def _ends(vault: str, hole: Hole) -> tuple[str, ...]:
    return ("--vault", vault, "--from", lsn.show(hole.start), "--until", lsn.show(hole.end))


def _moment(at: str | None, of: int | None) -> tuple[str, ...]:
    return (*(("--at", at) if at else ()), *(("--of", str(of)) if of else ()))


def _words(told: Mapping[str, object]) -> dict[str, str]:
    """What a host says, as words and nothing else."""
    return {str(name): str(said) for name, said in told.items()}
