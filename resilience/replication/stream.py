"""A physical replication client on libpq's raw COPY, with our own status messages.

psycopg2's cursor confirms WAL that nobody holds: on a keepalive it moves flush to the
server's end. Here a keepalive is answered with the confirmed position and nothing else.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import OperationalError, conninfo, pq

from resilience.errors import ResilienceError
from resilience.replication import lsn
from resilience.replication.lease import now as lease_now

POSTGRES_EPOCH = 946_684_800.0
XLOG_DATA = struct.Struct("!cQQq")
KEEPALIVE = struct.Struct("!cQqB")
STATUS = struct.Struct("!cQQQqB")
WAL = ord("w")
OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
SLOT = "ship"


class StreamLost(ResilienceError):
    """The replication connection ended or never came about."""


@dataclass(frozen=True, slots=True)
class System:
    """Who the server says it is."""

    system_id: str
    timeline: int
    flushed: int


@dataclass(frozen=True, slots=True)
class Received:
    """WAL from `start` on, as the server sent it."""

    start: int
    data: bytes
    sent_at: float


class Stream:
    """One replication connection."""

    def __init__(self, dsn: str) -> None:
        options = {"replication": "true", "application_name": SLOT, "connect_timeout": "5"}
        self._pg = pq.PGconn.connect(conninfo.make_conninfo(dsn, **options).encode())
        if self._pg.status != pq.ConnStatus.OK:
            raise self._lost("Postgres refuses the replication connection")
        self.server_end = 0
        self.heard_at = 0.0
        """When Postgres last said anything, on the lease's clock."""
        self.reply_requested = False

    def close(self) -> None:
        """End the connection; Postgres then counts no standby."""
        self._pg.finish()

    def identify(self) -> System:
        """IDENTIFY_SYSTEM."""
        row = self._row("IDENTIFY_SYSTEM")
        return System(system_id=row[0], timeline=int(row[1]), flushed=lsn.parse(row[2]))

    def stands_by(self) -> bool:
        """Whether this is a copy that was not promoted yet."""
        return self._row("SHOW in_hot_standby")[0] == "on"

    def history(self, timeline: int) -> str:
        """The timeline's history file; empty on the first, which has none."""
        return self._row(f"TIMELINE_HISTORY {timeline}")[1] if timeline > 1 else ""

    def segment_size(self) -> int:
        """Bytes in one WAL segment."""
        text = self._row("SHOW wal_segment_size")[0]
        unit = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
        return int(text[:-2]) * unit[text[-2:]]

    def reserved(self) -> int | None:
        """Where the slot keeps WAL from; None when there is none, or Postgres let go of what it kept."""
        row = self._row(f"READ_REPLICATION_SLOT {SLOT}")
        return lsn.parse(row[1]) if row[0] and row[1] else None

    def make_slot(self) -> None:
        """Create the slot anew and keep WAL from now on."""
        if self._row(f"READ_REPLICATION_SLOT {SLOT}")[0]:
            self._row(f"DROP_REPLICATION_SLOT {SLOT}")
        self._row(f"CREATE_REPLICATION_SLOT {SLOT} PHYSICAL RESERVE_WAL")

    def start(self, position: int, timeline: int) -> None:
        """Begin to stream from `position`."""
        command = f"START_REPLICATION SLOT {SLOT} PHYSICAL {lsn.show(position)} TIMELINE {timeline}"
        with self._talking():
            status = self._pg.exec_(command.encode()).status
        if status != pq.ExecStatus.COPY_BOTH:
            raise self._lost(f"Postgres does not stream from {lsn.show(position)} on timeline {timeline}")

    def receive(self) -> Received | None:
        """WAL that has arrived, or None when there is nothing right now. Never waits."""
        while True:
            try:
                count, data = self._pg.get_copy_data(1)
                if count == 0:
                    self._pg.consume_input()
                    count, data = self._pg.get_copy_data(1)
            except OperationalError as error:
                raise self._broke() from error
            if count == 0:
                return None
            if count < 0:
                raise self._lost("Postgres ended the replication stream")
            self.heard_at = lease_now()
            if data[0] == WAL:
                _, start, end, sent = XLOG_DATA.unpack_from(data)
                self.server_end = max(self.server_end, end)
                return Received(start, bytes(data[XLOG_DATA.size :]), POSTGRES_EPOCH + sent / 1e6)
            _, end, _, wants = KEEPALIVE.unpack_from(data)
            self.server_end = max(self.server_end, end)
            self.reply_requested = self.reply_requested or bool(wants)

    def confirm(self, position: int | None) -> None:
        """Tell Postgres what k vaults hold: written, flushed and applied are all that.

        None: nothing is confirmed. Commits wait then, and the slot keeps what it keeps.
        """
        held = position or 0
        now = int((time.time() - POSTGRES_EPOCH) * 1e6)
        with self._talking():
            self._pg.put_copy_data(STATUS.pack(b"r", held, held, held, now, 0))
            while self._pg.flush():
                select.select([], [self._pg.socket], [], 1)
        self.reply_requested = False

    def fileno(self) -> int:
        """The socket, for waiting."""
        return self._pg.socket

    def _row(self, command: str) -> list[str]:
        with self._talking():
            result = self._pg.exec_(command.encode())
        if result.status not in OK:
            raise self._lost(f"Postgres refuses {command}")
        values = [result.get_value(0, n) for n in range(result.nfields)] if result.ntuples else []
        return [(v or b"").decode() for v in values]

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise self._broke() from error

    def _broke(self) -> StreamLost:
        return self._lost("The replication connection broke")

    def _lost(self, what: str) -> StreamLost:
        return StreamLost(
            what,
            self._pg.error_message.decode(errors="replace").strip() or "The connection was closed.",
            "Look at Postgres' own log; ship connects again by itself.",
        )
