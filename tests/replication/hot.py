"""A hot standby in the lives of a primary: it gets SIGKILL at moments that a seed chooses, and nothing that it shows may be untrue later."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psycopg

from resilience.model import EpochRecord
from resilience.replication import layout
from resilience.replication.objects import Span, is_object
from tests.replication import kills
from tests.replication.harness import Site, kill_all, wait_until

LOOK = 0.05
"""Seconds between looks at what it shows."""
VICTIMS = ("follow", "Postgres", "both", "both and restic")


class HotStandby:
    """A site that follows from the vaults alone, started again whenever it ends, and read all the time."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.told: list[str] = []
        self._config = site.config(standby=True)
        self._shown: set[tuple[int, ...]] = set()
        self._newest = 0
        self._unwatched = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._process = site.follow(self._config)
        self._watching.start()

    @contextmanager
    def under_kills(self, chance: random.Random, acknowledged: Callable[[], int]) -> Iterator[None]:
        """Killed once or more while the block lasts; at its end it has caught up after each time."""
        with ThreadPoolExecutor(max_workers=1) as aside:
            living = aside.submit(self._live, chance, acknowledged)
            yield
            living.result()

    def kill(self, chance: random.Random) -> None:
        """SIGKILL for follow, its Postgres or both, with the restic below them; nothing is started again yet."""
        victim = chance.choice(VICTIMS)
        self.told.append(f"kill -9 {victim} of the standby: {kills.phase(self.site)}")
        below = kills.restics(self.site) if victim != "Postgres" else []
        if victim != "Postgres":
            self._process.kill()
            self._process.wait()
            kill_all(below)  # as systemd ends what a unit leaves
        if victim != "follow":
            kill_all(self.site.servers())

    def catches_up(self, acknowledged: Callable[[], int]) -> None:
        """It shows what was acknowledged after this moment, whoever has to be started again for that."""
        now = acknowledged()

        def shows_more() -> bool:
            self._keep_running()
            return self._newest > now

        wait_until(shows_more, lambda: f"a row after {now}, {self._newest} is shown. {self.told} {self.says()}")

    def kept(self) -> set[str]:
        """The chunks that it has read and not let go, by their names in a vault."""
        names = [path.name for path in (self.site.folder / "wal/objects").glob("*") if is_object(path.name)]
        return {layout.chunk(span.epoch, span.start) for span in map(Span.of, names)}

    def crosses_to(self, primary: Site) -> None:
        """It follows the new primary, and had nothing that was cut off."""

        def follows() -> bool:
            self._keep_running()
            return bool(self.site.standby_status()["follows"] == primary.name)

        wait_until(follows, self.says)
        assert "past the end of its leg" not in (self.site.folder / "follow.log").read_text(), self.says()

    def take_over(self, record: EpochRecord) -> Site:
        """It follows no more; the site, to be restored and promoted under this epoch."""
        self._process.terminate()
        self._process.wait(120)
        self.site.take(record)
        return self.site

    def showed_only(self, history: Sequence[int]) -> None:
        """Whatever it showed at any time was the beginning of this history."""
        for rows in tuple(self._shown):  # which grows meanwhile
            untrue = set(rows) - set(history)
            assert not untrue, f"{self.told}: shown by the standby, and lost: {sorted(untrue)[:9]}"
            left_out = set(history[: len(rows)]) - set(rows)
            assert not left_out, f"{self.told}: {sorted(left_out)[:9]} were left out while {rows[-1]} was shown"

    def unwatch(self) -> None:
        """Nobody looks at it any more."""
        self._unwatched.set()
        self._watching.join(60)

    def end(self) -> None:
        """Leave nothing running."""
        self.unwatch()
        self.site.end()

    def _live(self, chance: random.Random, acknowledged: Callable[[], int]) -> None:
        for _ in range(chance.choice([1, 2])):
            time.sleep(chance.uniform(0, 3))
            self.kill(chance)
            self.catches_up(acknowledged)

    def _keep_running(self) -> None:
        """As systemd does."""
        if self._process.poll() is not None:
            self._process = self.site.follow(self._config)

    def _watch(self) -> None:
        while not self._unwatched.wait(LOOK):
            with suppress(psycopg.Error), self.site.connect() as db:
                while not self._unwatched.wait(LOOK):
                    rows = tuple(n for (n,) in db.execute("SELECT n FROM rows ORDER BY n").fetchall())
                    self._shown.add(rows)
                    self._newest = rows[-1] if rows else 0

    def says(self) -> str:
        """What follow says of itself, for a failing test."""
        return self.site.told_by_standby()
