"""Scratch: a copy beside everything else, as it was at a moment, made from vaults that are only read.

Its Postgres has a socket of its own, in a folder that nobody else may enter, and no port. A copy
that falls short of the moment it was asked for is an error, never a success.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import structlog

from resilience.errors import NoSnapshot, Refused, ResilienceError, UsageError
from resilience.model import EpochRecord, Unknown
from resilience.ports import Vault
from resilience.replication import label as labels
from resilience.replication import lsn, standby
from resilience.replication.assembly import assemble
from resilience.replication.base import CLONING, WAL, afresh, bring, empty, finish, fitting, owner_of
from resilience.replication.chain import Chain
from resilience.replication.config import Config, made_anew, ours
from resilience.replication.forward import Forward
from resilience.replication.label import Label
from resilience.replication.recover import Check, promote, replay
from resilience.replication.segments import Segments
from resilience.replication.sessions import Session
from resilience.replication.trace import Leg, astray, child_of, legs

LOAD_NOTHING: tuple[LiteralString, ...] = (
    "UPDATE pg_db_role_setting"
    " SET setconfig = ARRAY(SELECT s FROM unnest(setconfig) s WHERE split_part(s, '=', 1) !~* 'librar')",
    "DELETE FROM pg_db_role_setting WHERE cardinality(setconfig) = 0",
)
"""A superuser's login could be spared what roles and databases load; an owner's can't."""
ALONE = ("unshare", "--net")
ALONE_AS_USER = ("unshare", "--user", "--map-current-user", "--net")
log = structlog.get_logger()


@dataclass(frozen=True)
class Moment:
    """Up to where a copy goes: a position, a time, or (neither) all that there is."""

    position: int | None = None
    at: float | None = None

    @classmethod
    def parse(cls, text: str | None) -> Moment:
        """`0/16B3748`, or a time such as `2021-01-10 07:00` (UTC where it names no zone)."""
        if text is None:
            return cls()
        try:
            if "/" in text:
                return cls(position=lsn.parse(text))
            when = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"{text} is neither a position nor a time.",
                "A position is written like 0/16B3748, a time like 2021-01-10T07:00:00+00:00.",
                "Write one of the two.",
            ) from None
        return cls(at=(when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())

    def after(self, label: Label) -> bool:
        """Whether a snapshot was complete by then."""
        return (self.position is None or label.stop <= self.position) and (self.at is None or label.at <= self.at)

    def show(self) -> str:
        """As Postgres takes a time."""
        return datetime.fromtimestamp(self.at or 0, UTC).isoformat(sep=" ")


@dataclass(frozen=True)
class Copy:
    """A data directory with its WAL beside it, not yet replayed."""

    config: Config
    label: Label
    segments: Segments
    leg: Leg
    chain: Chain
    healed: tuple[str, ...]
    passed_over: tuple[Mapping[str, Any], ...] = ()
    """Newer snapshots than its own, of the same history, that could not be brought, and why."""

    @property
    def end(self) -> int:
        """Where its WAL ends."""
        return self.chain.end


def settle_in(config: Config) -> Config:
    """The configuration for a copy in the folders that `config` names: a server of its own, which pg_ctl starts."""
    pg, run = config.paths.pg, config.paths.run
    options = (
        f"-c listen_addresses= -c port=5432 -c unix_socket_directories={run} -c hba_file={run}/hba.conf"
        f" -c ident_file= -c logging_collector=off -c synchronous_standby_names= -c archive_mode=off -c autovacuum=off"
    )
    control = [str(config.postgres.bin / "pg_ctl"), "-D", str(pg), "-w", "-t", "3600"]
    user, root = config.postgres.user, os.geteuid() == 0
    other = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs"]
    own = other if root else []
    alone = _without_network(ALONE if root else ALONE_AS_USER)
    server = config.postgres.model_copy(
        update={
            "dsn": f"host={run} port=5432 user={user} dbname=postgres",
            "start": [*alone, *own, *control, "-l", f"{run}/postgres.log", "-o", options, "start"],
            "stop": [*own, *control, "-m", "fast", "stop"],
        }
    )
    return config.model_copy(update={"postgres": server})


def _without_network(alone: Sequence[str]) -> Sequence[str]:
    """How a program is begun that can call nobody: what a thief left in the database runs. Nothing, where this machine forbids that."""
    tried = subprocess.run([*alone, "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        log.warning("the copy's Postgres has the network", why=tried.stderr.strip()[-200:])
    return () if tried.returncode else alone


def make(config: Config, vaults: Mapping[str, Vault], moment: Moment, of: int | None = None) -> Copy:
    """Files from the newest snapshot before the moment, and the WAL up to it; `of` an epoch that was cut off, or the newest."""
    config = settle_in(config)
    _fresh(config)
    forward = Forward(config, vaults)
    forward.look()
    child = child_of(forward.record(of))
    tried, passed_over = 0, list[Mapping[str, Any]]()
    groups = labels.find(config.labelled(vaults), forward.known, config.verify)
    before = (group for group in groups if moment.after(group[0]))
    for group in fitting(config, before):
        tried += 1
        afresh(config, CLONING)
        empty(config.paths.wal)
        found = reach(config, vaults, forward, child, group[0], moment)
        if found is None:
            continue
        used = bring(config, group, CLONING)
        if isinstance(used, Unknown):
            passed_over.append({**labels.describe(group[0]), "why": used.why})
            continue
        finish(config, used)
        configure(config)
        return replace(_with_wal(config, vaults, found, used, moment), passed_over=tuple(passed_over))
    raise NoSnapshot(
        "No vault holds a snapshot from before that that can be used.",
        " ".join([f"{tried} could be believed by their labels.", *(str(one["why"]) for one in passed_over)]),
        "Ask for a later moment, or bring back a vault that holds an older snapshot.",
    )


def _fresh(config: Config) -> None:
    for folder in (config.paths.pg, config.paths.run):
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, *owner_of(config))
        folder.chmod(0o700)
    ours(config.paths.wal)
    if any(config.paths.pg.iterdir()):
        raise Refused(
            f"{config.paths.pg} is not empty.", "Nothing is ever restored over what is there.", "Name another folder."
        )
    with made_anew(config.paths.run / "hba.conf", owner=owner_of(config)) as hba:
        hba.write(b"local all all trust\n")


def configure(config: Config) -> None:
    """Settings of our own alone, here and for whoever starts the copy afterwards: those that came with it may name a library or a command."""
    settings = {
        "postgresql.conf": f"listen_addresses = ''\nfsync = {'on' if config.postgres.fsync else 'off'}\n",
        "postgresql.auto.conf": "",
        "pg_hba.conf": "local all all peer\n",
        "pg_ident.conf": "",
    }
    for name, text in settings.items():
        with made_anew(config.paths.pg / name, 0o600, owner_of(config)) as file:
            file.write(text.encode())


def reach(
    config: Config,
    vaults: Mapping[str, Vault],
    forward: Forward,
    child: EpochRecord,
    label: Label,
    moment: Moment,
) -> list[Leg] | None:
    """The legs from a snapshot to the moment; None where it is none of the history that this child goes on from."""
    position = label.needs_from
    found = legs(forward.known, child, vaults, config.sealed or tuple(vaults), position, None)
    if astray(found, label):
        return None
    if moment.position is not None:
        reached = [leg for leg in found if leg.position < moment.position]
        last = reached[-1]
        limit = moment.position if last.limit is None else min(last.limit, moment.position)
        found = [*reached[:-1], replace(last, limit=limit)]
    return found


def _with_wal(config: Config, vaults: Mapping[str, Vault], found: list[Leg], used: Label, moment: Moment) -> Copy:
    segments = Segments(config.paths.pg / WAL, used.segment_size, owner_of(config))
    parts = assemble(config, vaults, found, segments)
    leg, _, chain = parts[-1]
    healed = tuple(sorted({what for _, gathered, _ in parts for what in gathered.healed}))
    copy = Copy(config, used, segments, leg, chain, healed)
    _refuse_early(copy, moment)
    return copy


def _refuse_early(copy: Copy, moment: Moment) -> None:
    """Refused when what the vaults hold ends before the moment."""
    reached = copy.chain.headers[-1].at if copy.chain.headers else copy.label.at
    if moment.at is None or reached >= moment.at:
        return
    raise Refused(
        f"The vaults hold nothing from {moment.show()}: they end at {copy.chain.good_until}.",
        "A copy that is short of what was asked for is no success.",
        "Ask for an earlier time, or for all that there is.",
    )


@contextmanager
def opened(copy: Copy, moment: Moment) -> Iterator[Session]:
    """Its server, replayed up to the moment and promoted; stopped at the end, whatever happens."""
    config = copy.config
    target = [f"recovery_target_time = '{moment.show()}'", "recovery_target_action = 'pause'"] if moment.at else []
    check = Check(copy.segments, copy.leg.start.timeline, copy.end, copy.chain.confirmed)

    def ready() -> None:
        standby.prepare(config, copy.segments, target)

    def replays() -> None:
        with standby.connected(config) as db:
            standby.poke(config)
            replay(db, copy.end, check, target=bool(target))

    ready()
    try:
        standby.with_settings_as_high(config, ready, replays)
        with standby.connected(config) as db:
            promote(db, slot=False)
            standby.settle(config, db)
            load_nothing(db)
            yield db
    finally:
        done = subprocess.run(config.postgres.stop, check=False, capture_output=True, text=True)
        if done.returncode and standby.alive(config):
            raise ResilienceError("The copy's Postgres does not stop.", done.stderr[-500:], "End it by hand.")


def load_nothing(db: Session) -> None:
    """Whoever logs in loads no library that a role or a database names: those came with the copy."""
    for statement in LOAD_NOTHING:
        db.execute(statement)


def describe(copy: Copy) -> dict[str, Any]:
    """What a person wants to know of a copy."""
    end = copy.chain.headers[-1].at if copy.chain.headers else copy.label.at
    return {
        **labels.describe(copy.label),
        "end_lsn": lsn.show(copy.end),
        "until": end,
        "timeline": copy.leg.start.timeline,
        "healed": list(copy.healed),
        "passed_over": list(copy.passed_over),
    }


def folder_of(config: Config) -> Path:
    """The folder that holds the copy."""
    return config.paths.pg.parent
