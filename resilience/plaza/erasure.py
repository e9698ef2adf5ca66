"""Erasure: what the ledger says is done to the database and to the pictures, now and again.

Everything here may be repeated: after a crash, at every start, and on an older database that
still has what was taken down since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import psycopg

from resilience.plaza import ledger as chain
from resilience.plaza.errors import LedgerBroken, PlazaError, not_found
from resilience.plaza.ledger import Draft, Entry, Ledger
from resilience.plaza.store import Store

LOCK = 0x706C617A61
"""Advisory lock: whoever appends to the ledger or replays it."""
PICTURES = 0x706C
"""Advisory locks by first byte of a picture's hash."""

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")
Drafter = Callable[[Connection], Draft | int]
"""What an entry is to say, or the number of the one that says it already and is in force."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found and did."""

    entries: int
    applied: int
    head: str
    position: int


class Eraser:
    """Appends to the ledger and applies it. Blocking: the server calls it in a thread."""

    def __init__(self, url: str, ledger: Ledger, store: Store) -> None:
        self._url = url
        self._ledger = ledger
        self._store = store

    def record(self, drafter: Drafter) -> int:
        """Write an entry, apply it, and return its number, or that of one in force. Raises not_found if nothing is there."""
        with self._locked() as conn:
            last = self._catch_up(conn)
            draft = _draft(conn, drafter)
            if isinstance(draft, int):
                return draft
            seq, prev = (last.seq + 1, last.sha256) if last else (1, chain.GENESIS)
            entry = self._ledger.append(seq, prev, draft)
            self._apply(conn, [entry])
            return entry.seq

    def settled(self, work: Callable[[Connection], T]) -> T:
        """Do something while nobody appends or replays, with every entry that there is applied."""
        with self._locked() as conn:
            self._catch_up(conn)
            return work(conn)

    def replay(self) -> Replayed:
        """Apply the whole ledger to whatever database and pictures are here."""
        reading = self._ledger.read()
        with self._locked() as conn:
            _refuse_copy(conn)
            mirrored = self._mirrored(conn)
            entries = reading.entries
            if reading.broken is None:
                entries = entries + self._bring_back(mirrored, entries)
            self._same_history(mirrored, entries)
            applied = sum(1 for entry in entries if entry.seq > len(mirrored))
            self._apply(conn, entries)
        if reading.broken is not None:
            raise reading.broken
        self._ledger.hand_over(entries)
        head = entries[-1].sha256 if entries else chain.GENESIS
        return Replayed(len(entries), applied, head, max(len(entries), len(mirrored)))

    @contextmanager
    def _locked(self) -> Iterator[Connection]:
        with psycopg.connect(self._url, connect_timeout=5) as conn:
            # The ledger's file is what must be held elsewhere; what it does here can be done again.
            conn.execute("SET LOCAL synchronous_commit = local")
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            yield conn

    def _catch_up(self, conn: Connection) -> Entry | None:
        """The last entry; whatever a crash left unapplied is applied before."""
        row = conn.execute("SELECT seq, body FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
        last = _trusted(row[0], bytes(row[1])) if row else None
        reading = self._ledger.read(after=last)
        if reading.broken:
            raise reading.broken
        self._apply(conn, reading.entries)
        return reading.entries[-1] if reading.entries else last

    def _mirrored(self, conn: Connection) -> list[bytes]:
        found = conn.execute("SELECT body FROM ledger ORDER BY seq").fetchall()
        return [bytes(row[0]) for row in found]

    def _bring_back(self, mirrored: Sequence[bytes], entries: Sequence[Entry]) -> list[Entry]:
        """Entries that the database has seen and the directory lost: put back, if they are ours."""
        found: list[Entry] = []
        prev = entries[-1].sha256 if entries else chain.GENESIS
        for seq, body in enumerate(mirrored[len(entries) :], len(entries) + 1):
            entry = self._ledger.parse(body, seq, prev)
            self._ledger.restore(entry)
            found.append(entry)
            prev = entry.sha256
        return found

    def _same_history(self, mirrored: Sequence[bytes], entries: Sequence[Entry]) -> None:
        for body, entry in zip(mirrored, entries, strict=False):
            if body != entry.body:
                raise LedgerBroken(
                    f"Ledger entry {entry.seq} differs from the one this database applied",
                    "two sites wrote different entries with the same number",
                    "Decide which history is right before opening; nothing was applied.",
                )

    def _apply(self, conn: Connection, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        statuses = [entry.status_id for entry in entries if entry.removes and entry.status_id is not None]
        erased = [entry for entry in entries if entry.action == chain.ERASE_ACCOUNT]
        accounts = [entry.account_id for entry in erased]
        rings = _rings(conn, accounts, [sha for entry in erased for sha in entry.media])
        shas = sorted({sha for entry in entries for sha in entry.media} | rings.keys())
        lock_pictures(conn, shas)
        conn.execute("DELETE FROM media WHERE id = ANY(%s)", (list(rings.values()),))
        conn.execute("DELETE FROM statuses WHERE id = ANY(%s)", (statuses,))
        conn.execute(CLOSE_REPORTS, (accounts, statuses))
        conn.execute("DELETE FROM accounts WHERE id = ANY(%s)", (accounts,))
        conn.execute(DROP_ROWS, ([row for entry in entries for row in entry.rows],))
        _hide_and_suspend(conn, entries)
        with conn.cursor() as cursor:
            cursor.executemany(MIRROR, [_mirror(entry) for entry in entries])
        used = conn.execute("SELECT DISTINCT sha256 FROM media WHERE sha256 = ANY(%s)", (shas,))
        for sha in set(shas) - {row[0] for row in used}:
            self._store.remove(sha)


def _rings(conn: Connection, accounts: Sequence[int | None], named: Sequence[str]) -> dict[str, int]:
    """Keyrings that must go with these accounts, and their rows: an older database may have others than the entry names."""
    return dict(conn.execute(RINGS, (named, accounts)).fetchall())


RINGS: LiteralString = """
SELECT sha256, id FROM media WHERE purpose = 'keyring' AND (sha256 = ANY(%s)
    OR id = ANY(ARRAY(SELECT ring FROM media WHERE account_id = ANY(%s) AND ring IS NOT NULL)))
"""
DROP_ROWS: LiteralString = """
WITH gone AS (DELETE FROM media WHERE id = ANY(%s::bigint[]) RETURNING account_id, purpose)
UPDATE accounts a SET
    avatar = CASE WHEN NOT EXISTS (SELECT FROM gone WHERE account_id = a.id AND purpose = 'avatar') THEN avatar END,
    header = CASE WHEN NOT EXISTS (SELECT FROM gone WHERE account_id = a.id AND purpose = 'header') THEN header END
WHERE id IN (SELECT account_id FROM gone WHERE purpose IN ('avatar', 'header'))
"""
"""An older database may show one of them still."""
MIRROR: LiteralString = """
INSERT INTO ledger (seq, sha256, body, action, status_id, account_id)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (seq) DO NOTHING
"""
CLOSE_REPORTS: LiteralString = """
UPDATE reports SET action_taken = 'removed', action_taken_at = now(), updated_at = now()
WHERE action_taken_at IS NULL AND (target_account_id = ANY(%s) OR
    status_ids && %s::bigint[] AND NOT EXISTS (SELECT FROM statuses s WHERE s.id = ANY(reports.status_ids)))
"""
"""A report on several posts stays open while one of them is there."""


def _hide_and_suspend(conn: Connection, entries: Sequence[Entry]) -> None:
    """Bring what can be taken back to where its last entry says it is."""
    for entry, hidden in chain.in_force(entries, chain.HIDE, chain.UNHIDE):
        conn.execute(SET_HIDDEN, {"on": hidden, "id": entry.status_id})
    for entry, suspended in chain.in_force(entries, chain.SUSPEND, chain.UNSUSPEND):
        changed = conn.execute(SET_SUSPENDED, {"on": suspended, "id": entry.account_id})
        if suspended and changed.rowcount:
            conn.execute("DELETE FROM sessions WHERE account_id = %s", (entry.account_id,))
            conn.execute("DELETE FROM oauth_codes WHERE account_id = %s", (entry.account_id,))
            conn.execute("DELETE FROM oauth_tokens WHERE account_id = %s", (entry.account_id,))


SET_HIDDEN: LiteralString = """
UPDATE statuses SET hidden_at = CASE WHEN %(on)s THEN now() END
WHERE id = %(id)s AND (hidden_at IS NOT NULL) <> %(on)s
"""
SET_SUSPENDED: LiteralString = """
UPDATE accounts SET suspended_at = CASE WHEN %(on)s THEN now() END
WHERE id = %(id)s AND (suspended_at IS NOT NULL) <> %(on)s
"""


def _draft(conn: Connection, drafter: Drafter) -> Draft | int:
    """What is to be written, with all locks that carrying it out takes; once more where somebody else was in the way."""
    try:
        with conn.transaction():
            return _locked_draft(conn, drafter)
    except psycopg.errors.DeadlockDetected:
        return _locked_draft(conn, drafter)


def _locked_draft(conn: Connection, drafter: Drafter) -> Draft | int:
    draft = drafter(conn)
    if isinstance(draft, Draft):
        lock_pictures(conn, draft.media)
    return draft


def lock_pictures(conn: Connection, shas: Iterable[str]) -> None:
    """Until the transaction ends nobody else stores or removes one of these."""
    for bucket in sorted({picture_lock(sha) for sha in shas}):
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (PICTURES, bucket))


def _refuse_copy(conn: Connection) -> None:
    """A copy that follows another site can't be brought to the ledger, and is nobody's to read."""
    row = conn.execute("SELECT pg_is_in_recovery()").fetchone()
    if row and row[0]:
        raise PlazaError(
            "The ledger was not replayed",
            "this database follows another one",
            "Promote it, when this site is to serve.",
        )


def picture_lock(sha256: str) -> int:
    """Which of 256 locks a picture belongs to: nobody stores it while somebody removes it."""
    return int(sha256[:2], 16)


def takedown(status_id: int, reason: str, by: str) -> Drafter:
    """A moderator takes a post down."""
    return lambda conn: _status_draft(conn, chain.TAKEDOWN, status_id, None, reason, by)


def hide(status_id: int, reason: str, by: str) -> Drafter:
    """A moderator hides a post from everybody but its author."""
    return lambda conn: _status_draft(conn, chain.HIDE, status_id, None, reason, by)


def unhide(status_id: int, reason: str, by: str) -> Drafter:
    """A hidden post is shown again."""
    return lambda conn: _status_draft(conn, chain.UNHIDE, status_id, None, reason, by)


def suspend(account_id: int, reason: str, by: str) -> Drafter:
    """An account and all its posts are hidden, and it can't do anything but appeal."""
    return lambda conn: _account_draft(conn, account_id, chain.SUSPEND, reason, by)


def unsuspend(account_id: int, reason: str, by: str) -> Drafter:
    """A suspension ends."""
    return lambda conn: _account_draft(conn, account_id, chain.UNSUSPEND, reason, by)


def erase_status(status_id: int, author: int) -> Drafter:
    """An author deletes a post."""
    reason = "deleted by its author"
    return lambda conn: _status_draft(conn, chain.ERASE_STATUS, status_id, author, reason, str(author))


def erase_dropped() -> Drafter:
    """Pictures that nothing shows any more are erased; some at a time."""
    return _dropped_draft


def erase_account(account_id: int) -> Drafter:
    """A person deletes their account with everything in it."""
    reason = "deleted by its owner"
    return lambda conn: _account_draft(conn, account_id, chain.ERASE_ACCOUNT, reason, str(account_id))


def _status_draft(
    conn: Connection, action: str, status_id: int, author: int | None, reason: str, by: str
) -> Draft | int:
    row = conn.execute("SELECT account_id FROM statuses WHERE id = %s", (status_id,)).fetchone()
    if row is None or author not in (None, row[0]):
        raise not_found()
    if (standing := _standing(conn, action, status_id, row[0])) is not None:
        return standing
    subject = {"status": str(status_id), "author": str(row[0])}
    return Draft(action, subject, _media(conn, action, "status_id", status_id), reason, by)


def _account_draft(conn: Connection, account_id: int, action: str, reason: str, by: str) -> Draft | int:
    """With the account locked: whoever is giving it a key or a picture is waited for, and nobody does after."""
    if not conn.execute("SELECT 1 FROM accounts WHERE id = %s FOR UPDATE", (account_id,)).fetchone():
        raise not_found()
    if (standing := _standing(conn, action, None, account_id)) is not None:
        return standing
    media = _media(conn, action, "account_id", account_id)
    if action == chain.ERASE_ACCOUNT:
        media = tuple(sorted({*media, *_rings(conn, [account_id], [])}))
    return Draft(action, {"author": str(account_id)}, media, reason, by)


def _dropped_draft(conn: Connection) -> Draft:
    found = conn.execute("SELECT id, sha256 FROM media WHERE " + DROPPED + ONE_ENTRY).fetchall()
    if not found:
        raise not_found()
    shas = tuple(sorted({row[1] for row in found}))
    return Draft(chain.ERASE_PICTURES, {}, shas, "shown by nothing any more", "plaza", tuple(row[0] for row in found))


DROPPED: LiteralString = "status_id IS NULL AND purpose = 'post' AND created_at = '-infinity'"
"""A picture that nobody waits for: no post, avatar or header shows it, or its post did not come in a day."""
ONE_ENTRY: LiteralString = " ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED"


def _standing(conn: Connection, action: str, status_id: int | None, account_id: int) -> int | None:
    """The entry by which a post is hidden or an account suspended already, or is so no more: said twice, it is one."""
    pair = next((pair for pair in chain.TAKEN_BACK if action in pair), None)
    if pair is None:
        return None
    last = conn.execute(LAST, (list(pair), status_id, account_id)).fetchone()
    return int(last[0]) if last and last[1] == action else None


LAST: LiteralString = """
SELECT seq, action FROM ledger WHERE action = ANY(%s) AND status_id IS NOT DISTINCT FROM %s::bigint AND account_id = %s
ORDER BY seq DESC LIMIT 1
"""


def _media(conn: Connection, action: str, column: LiteralString, identifier: int) -> tuple[str, ...]:
    """The pictures that go with it; what is only hidden keeps them."""
    if any(action in pair for pair in chain.TAKEN_BACK):
        return ()
    found = conn.execute("SELECT DISTINCT sha256 FROM media WHERE " + column + " = %s", (identifier,))
    return tuple(sorted(row[0] for row in found))


def _mirror(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.seq, entry.sha256, entry.body, entry.action, entry.status_id, entry.account_id
    )  # fmt: skip


def _trusted(seq: int, body: bytes) -> Entry:
    """The last applied entry, as far as the next one needs it."""
    return Entry(seq, "", {}, (), "", "", "", body)


def explain(error: psycopg.Error) -> PlazaError:
    """A database's complaint, for a person at a terminal."""
    if isinstance(error, psycopg.errors.UndefinedTable):
        return PlazaError("The database has no tables", "it is new", "Run migrate first.")
    if isinstance(error, psycopg.errors.UndefinedColumn):
        return PlazaError(
            "The database's schema is older than this plaza", str(error).splitlines()[0], "Run migrate first."
        )
    why = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    return PlazaError("The database can't be used", why, "Start Postgres, then try again.")
