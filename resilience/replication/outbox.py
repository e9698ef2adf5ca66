"""The outbox: ledger entries, keys and pictures on their way into every vault.

The app links a file into `outbox/{ledger,key,media}/`; here it is linked on into each vault's own
queue, so that the cost of a cycle depends on what is new, never on what there is. What the app waits
for counts as held by vaults that took it from this very process: that a queue has it not proves nothing.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from resilience.errors import ResilienceError
from resilience.ports import Vault
from resilience.replication import appfolders, layout, seals
from resilience.replication.apart import Apart, split
from resilience.replication.config import Config, write_atomic
from resilience.replication.courier import PAUSES
from resilience.replication.lease import Lease
from resilience.replication.metrics import Meter
from resilience.replication.spool import on_disk

SOURCES = ("ledger", "key", "media")
KINDS = ("ledger", "key", "header", "media")
TOLD = ("ledger", "key")
"""What the app waits for: it is told once k vaults hold it."""
MEDIA = ("key", "header", "media")
"""What lies below `media/` in a vault."""
EVERY = 0.1
ENTRY = re.compile(r"[0-9]{8}\.json")
PICTURE = re.compile(r"[0-9A-Za-z_-]{1,128}")
log = structlog.get_logger()


class Outbox:
    """Moves new files from the outbox into one queue a vault, and runs the queues."""

    def __init__(self, config: Config, vaults: Mapping[str, Vault], lease: Lease) -> None:
        self._source = config.paths.outbox
        self._held = config.paths.held
        self._folder = config.paths.spool / "outbox"
        self._k = config.record.k
        self._lease = lease
        self.error: str | None = None
        self.passed_over: str | None = None
        """What lies in the outbox and no app of ours hands over; None where nothing does."""
        self._misplaced: Mapping[str, str] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._holders: dict[tuple[str, str], set[str]] = {}
        self.queues = [Queue(vault, config, lease, self) for vault in vaults.values()]
        self._keepers = [queue for queue in self.queues if not queue.apart]
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin to move and to put."""
        for kind in TOLD:
            (self._held / kind).mkdir(parents=True, exist_ok=True)
            self._queue_again(kind)
        for queue in self.queues:
            self.keep_headers(queue)
            queue.start()
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        with self._lock:
            self._stopping.set()
        for queue in self.queues:
            queue.stop()

    def backlog(self, vault: str) -> tuple[int, int]:
        """Objects that a vault still lacks, and what they take of the disk at most."""
        return self.queue(vault).backlog()

    def lacking(self) -> dict[str, int]:
        """Objects that each vault still lacks, what lies in the outbox among them.

        Counted in the order in which they move on, so that none on its way is in nobody's count; some may be in two.
        """
        handed_over = self._handed_over()
        first = sorted(self.queues, key=lambda queue: not queue.apart)  # their headers go on into the others' queues
        return {queue.vault.name: handed_over + queue.backlog()[0] for queue in first}

    def held_by(self, k: int) -> bool:
        """Whether k vaults lack nothing of what the app handed over."""
        return sorted(self.lacking().values())[k - 1] == 0

    def _handed_over(self) -> int:
        """What the app handed over and no queue has yet."""
        count = 0
        for kind in SOURCES:
            with suppress(FileNotFoundError, NotADirectoryError), appfolders.opened(self._source, kind) as folder:
                count += sum(f"{kind}/{name}" not in self._misplaced for name in _names(folder))
        return count

    def leave(self, vault: str, *, emptied: bool = False) -> None:
        """Keep no more pictures and keys for a vault that is left behind; the ledger is kept whatever it takes.

        What one that was `emptied` took before is in it no more.
        """
        if emptied:
            with self._lock:
                for holders in self._holders.values():
                    holders.discard(vault)
        self.queue(vault).forget_media()

    def queue(self, vault: str) -> Queue:
        """One vault's queue."""
        return next(queue for queue in self.queues if queue.vault.name == vault)

    def owed(self, stay: Collection[str], k: int) -> list[str]:
        """What the app was told is held, and fewer than k of the vaults that stay in the set took, as far as these keep it whole."""
        staying = [queue for queue in self.queues if queue.vault.name in stay]
        found = []
        for kind in TOLD:
            counting = [queue for queue in staying if kind == "ledger" or not queue.apart]
            waits = Counter(name for queue in counting for name in queue.waiting(kind) if self.told(kind, name))
            enough = min(k, len(counting))
            found += sorted(f"{kind}/{Path(n).stem}" for n, lack in waits.items() if len(counting) - lack < enough)
        if found:
            for queue in staying:
                queue.nudge()
        return found

    def told(self, kind: str, name: str) -> bool:
        """Whether the app was told that k vaults hold this."""
        return self._mark(kind, name).exists()

    def keep_headers(self, queue: Queue) -> None:
        """Queue the headers of what one vault keeps the payload of, for all that keep headers."""
        for path in sorted(queue.headers.glob("[!.]*")):
            for keeper in self._keepers:
                keeper.link(path, "header")
                keeper.nudge()
            path.unlink()

    def delivered(self, kind: str, name: str, queue: Queue) -> None:
        """One vault holds this object; say so to the app once k of them hold what it waits for."""
        with self._lock:
            if self._stopping.is_set():  # whoever begins next counts what it sees itself
                return
            if kind in TOLD:
                self._count(kind, name, queue)
            queue.took(kind, name)

    def _count(self, kind: str, name: str, queue: Queue) -> None:
        """A payload alone is no copy of a key: whoever has only that has noise."""
        if self.told(kind, name) or (kind != "ledger" and queue.apart):
            return
        holders = self._holders.setdefault((kind, name), set())
        holders.add(queue.vault.name)
        following = self._lease.following
        counted, k = (holders, self._k) if following is None else (holders & {*following.vaults}, following.k)
        if len(counted) >= k:
            self._mark(kind, name).touch()
            del self._holders[kind, name]

    def _mark(self, kind: str, name: str) -> Path:
        return self._held / kind / name.removesuffix(".json")

    def _queue_again(self, kind: str) -> None:
        """For every vault what no mark says is held: who took it before is not known, nor who is in the set by now."""
        for path in sorted(self._folder.glob(f"*/{kind}/*")):
            if not self.told(kind, path.name):
                for queue in self.queues:
                    queue.link(path, kind)

    def _run(self) -> None:
        while not self._stopping.wait(EVERY):
            try:
                self._pass_over({what: why for kind in SOURCES for what, why in self._move(kind).items()})
                self.error = self.passed_over
            except OSError as error:
                if self.error is None:
                    log.warning("the outbox cannot be emptied", why=str(error))
                self.error = str(error)

    def _pass_over(self, found: Mapping[str, str]) -> None:
        """Say what stays where it is, whenever that changed."""
        self._misplaced = found
        first = [f"{_shown(what)} ({why})" for what, why in sorted(found.items())[:3]]
        more = f" and {len(found) - len(first)} more" if len(found) > len(first) else ""
        told = f"no app hands these over, and they stay in the outbox: {', '.join(first)}{more}" if found else None
        if told is not None and told != self.passed_over:
            log.error("passed over in the outbox", what=told)
        self.passed_over = told

    def _move(self, kind: str) -> dict[str, str]:
        """Queue what the app handed over; what else lies there, and why it is passed over."""
        passed: dict[str, str] = {}
        try:
            with appfolders.opened(self._source, kind) as folder:
                names = sorted(_names(folder))
                for name in names:
                    try:
                        self._take(folder, kind, name)
                    except appfolders.Misplaced as error:
                        passed[f"{kind}/{name}"] = error.seen
        except FileNotFoundError:
            return passed
        except NotADirectoryError:
            return {kind: "no folder"}
        if len(names) > len(passed):
            for queue in self.queues:
                queue.nudge()
        return passed

    def _take(self, folder: int, kind: str, name: str) -> None:
        """Queue one file for every vault; one that the app took back meanwhile is none."""
        _refuse_name(kind, name)
        with suppress(FileNotFoundError), appfolders.looked_at(folder, name) as found, self._lock:
            if self._stopping.is_set():
                return
            for queue in self.queues:
                queue.link(self._source / kind / name, kind, found)
            with suppress(IsADirectoryError):  # somebody put one there since
                os.unlink(name, dir_fd=folder)


def _refuse_name(kind: str, name: str) -> None:
    if not (ENTRY if kind == "ledger" else PICTURE).fullmatch(name):
        raise appfolders.Misplaced(Path(kind, name), "another name")


def _names(folder: int) -> list[str]:
    """What lies there finished: the app writes aside, under a name with a dot before it."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not entry.name.startswith(".")]


def _shown(name: str) -> str:
    """A name as a person may be shown it, whoever chose it."""
    return re.sub(r"[^0-9A-Za-z._/-]", "?", name)[:80]


class Queue(threading.Thread):
    """One vault's ledger entries, keys and pictures; they go in this order."""

    def __init__(self, vault: Vault, config: Config, lease: Lease, outbox: Outbox) -> None:
        super().__init__(name=f"outbox-{vault.name}", daemon=True)
        self.vault = vault
        self.folder = config.paths.spool / "outbox" / vault.name
        self.error: str | None = None
        self.failures = 0
        self._epoch = config.root
        self._recipients = config.recipients
        self._lease = lease
        self._outbox = outbox
        self.apart = vault.name in config.apart
        """Of pictures and keys this vault keeps the payload alone."""
        self.headers = self.folder / "sealed"
        """Headers that are on no keeper's queue yet."""
        self._kept: Apart | None = None
        self.meter = Meter()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._counting = threading.Lock()
        self._waiting: dict[tuple[str, str], int] = {}
        self.headers.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (self.folder / kind).mkdir(parents=True, exist_ok=True)
        if self.apart:  # they were queued here before this vault was locked
            for path in (self.folder / "header").iterdir():
                path.replace(self.headers / path.name)
        for kind in KINDS:
            with os.scandir(self.folder / kind) as entries:
                self._waiting |= {(kind, e.name): on_disk(e.stat(follow_symlinks=False).st_size) for e in entries}
        self._total = sum(self._waiting.values())

    def nudge(self) -> None:
        """There is something new."""
        self._wake.set()

    def stop(self) -> None:
        """End after the put under way."""
        self._stopping.set()
        self._wake.set()

    def backlog(self) -> tuple[int, int]:
        """Objects that this vault still lacks, and what they take of the disk at most."""
        with self._counting:
            return len(self._waiting), self._total

    def waiting(self, kind: str) -> list[str]:
        """Names of what this vault still lacks of one kind."""
        with self._counting:
            return [name for of, name in self._waiting if of == kind]

    def link(self, source: Path, kind: str, found: int | None = None) -> None:
        """Queue a file, the one that was found where it is not ours; counted before it can be taken, for it may be put the moment it is there."""
        target = self.folder / kind / source.name
        with self._counting, suppress(FileExistsError):
            if found is None:
                size = source.lstat().st_size
                os.link(source, target)
            else:
                size = os.fstat(found).st_size
                appfolders.link(found, target)
            self._waiting[kind, source.name] = on_disk(size)
            self._total += on_disk(size)

    def took(self, kind: str, name: str) -> None:
        """The vault has this one, or is owed it no more."""
        with self._counting:
            (self.folder / kind / name).unlink(missing_ok=True)
            self._total -= self._waiting.pop((kind, name), 0)

    def forget_media(self) -> None:
        """Other vaults owe them to this one now."""
        with self._counting:
            names = [(kind, name) for kind, name in self._waiting if kind in MEDIA]
        for kind, name in names:
            self.took(kind, name)

    def run(self) -> None:
        """Put what is queued until stopped."""
        while not self._stopping.is_set():
            try:
                while not self._stopping.is_set() and (found := self._next()) is not None:
                    self._put(*found)
                    self.failures, self.error = 0, None
            except (ResilienceError, OSError) as error:
                self.failures += 1
                self.meter.failed(error)
                self.error = " ".join(str(error).split())
                if self.failures == 1:
                    log.warning("vault fails", vault=self.vault.name, why=self.error)
                self._stopping.wait(PAUSES[min(self.failures, len(PAUSES)) - 1])
                continue
            self._wake.wait()
            self._wake.clear()

    def _next(self) -> tuple[str, Path] | None:
        for kind in KINDS:
            with os.scandir(self.folder / kind) as entries:
                if kind == "ledger":
                    first = min((e.name for e in entries if self._may_go(e.name)), default=None)
                else:
                    first = next((e.name for e in entries), None)
            if first is not None:
                return kind, self.folder / kind / first
        return None

    def _may_go(self, entry: str) -> bool:
        """Once there is a newer epoch no entry can count under this one any more, so only those go that did."""
        ended = self._lease.following is not None or self._lease.superseded is not None
        return not ended or self._outbox.told("ledger", entry)

    def _put(self, kind: str, path: Path) -> None:
        try:
            key, data = self._object(kind, path)
        except FileNotFoundError:  # the vault was left behind meanwhile
            return
        except appfolders.Misplaced as error:  # it grew, or an earlier build queued it
            log.warning("dropped from a vault's queue", vault=self.vault.name, what=_shown(path.name), why=error.seen)
            self.took(kind, path.name)
            return
        with self.meter.put(len(data)):
            self.vault.put_new(key, data)
        if kind == "ledger" and not self._lease.look(self.vault) and not self._may_go(path.name):
            return  # it waits for the next epoch; what else there is goes on
        if self.apart:
            self._outbox.keep_headers(self)
            self._kept = None
        self._outbox.delivered(kind, path.name, self)

    def _object(self, kind: str, path: Path) -> tuple[str, bytes]:
        """What is put for a queued file, and under which name."""
        if kind == "header":
            picture, _, sha256 = path.name.partition(".")
            return layout.header(picture, sha256), appfolders.read(path)
        _refuse_name(kind, path.name)
        if kind == "ledger":
            return layout.ledger(self._epoch, int(path.stem)), seals.encrypt(appfolders.read(path), self._recipients)
        if self.apart:
            kept = self._sealed_apart(path)
            return layout.payload(kept.picture, kept.sha256), kept.payload
        return layout.media(path.name), seals.encrypt(appfolders.read(path), self._recipients)

    def _sealed_apart(self, path: Path) -> Apart:
        """The picture in two parts, the same ones while it is tried again: no payload is left without its header."""
        if self._kept is None or self._kept.picture != path.name:
            self._kept = split(path.name, seals.encrypt(appfolders.read(path), self._recipients))
            write_atomic(self.headers / f"{path.name}.{self._kept.sha256}", self._kept.header)
        return self._kept
