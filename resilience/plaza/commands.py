"""Commands for moderation: notices, evidence, holds, and the site's mode."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resilience.plaza.errors import PlazaError, Refused
from resilience.plaza.rules import IDS, LAW
from resilience.plaza.settings import Settings

if TYPE_CHECKING:
    from resilience.plaza.db import Connection
    from resilience.plaza.store import Store

T = TypeVar("T")


def in_transaction(settings: Settings, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do something in one transaction, confirmed by the quorum where there is one."""
    from psycopg.rows import dict_row

    from resilience.plaza.db import Connection
    from resilience.plaza.keys import Keys
    from resilience.plaza.store import Store

    async def run() -> T:
        async with await Connection.connect(settings.database_url, connect_timeout=5, row_factory=dict_row) as conn:
            conn.keys = Keys(Store(settings.media_dir, settings.outbox_dir))
            conn.add_notice_handler(conn.note)
            await conn.execute("SET LOCAL synchronous_commit = on")
            done = await work(conn)
            await conn.commit()
            if conn.unconfirmed:
                raise PlazaError("It is recorded here", "but not yet safe elsewhere", "Run the same command again.")
            return done

    try:
        return asyncio.run(run())
    except Refused as error:
        raise PlazaError("That did not work", error.message, "Look at show-notice or at /moderation.") from None


def add_notice(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Put a vendor's letter with all the posts it names into the moderators' queue."""
    from resilience.plaza import notices

    letter = notices.Letter(
        vendor=options.vendor,
        reference=options.reference,
        due_at=_moment(options.due),
        posts=[*options.post, *(_lines(options.posts) if options.posts else [])],
        text=options.letter.read_text(errors="replace") if options.letter else "",
        rule=options.rule,
    )
    return in_transaction(settings, lambda conn: notices.add(conn, letter))


def show_notice(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Say what became of every post in a notice; without a number, list all notices."""
    from resilience.plaza import notices

    async def work(conn: Connection) -> dict[str, Any]:
        if options.notice is None:
            found = await notices.everyone(conn)
            return {"notices": [{**one, **{k: one[k].isoformat() for k in ("due_at", "received_at")}} for one in found]}
        return await notices.show(conn, options.notice)

    return in_transaction(settings, work)


def export_evidence(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Write what is known of a notice's posts into one signed zip file."""
    from resilience.plaza import evidence
    from resilience.plaza.ledger import Ledger
    from resilience.plaza.store import Store

    ledger = Ledger.of(settings)
    store = Store(settings.media_dir, settings.outbox_dir)
    identity = options.hold_key.read_text() if options.hold_key else None
    return in_transaction(
        settings,
        lambda conn: evidence.export(
            conn, options.notice, options.to,
            ledger=ledger, store=store, base=settings.public_url, identity=identity,
        ),
    )  # fmt: skip


def release_hold(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Destroy what is held of a post."""
    from resilience.plaza import holds

    async def work(conn: Connection) -> dict[str, Any]:
        return {"status": str(options.status), "released": await holds.release(conn, options.status)}

    return in_transaction(settings, work)


def hold(settings: Settings, store: Store, ids: list[int]) -> None:
    """Seal those of these posts that are here for whoever answers to a court; nothing may go before that is committed."""
    from resilience.plaza import posts
    from resilience.plaza.holds import Holds

    async def work(conn: Connection) -> None:
        found = await posts.everything(conn, ids)
        await Holds(settings.hold_recipient, store, settings.public_url).keep(conn, found)

    in_transaction(settings, work)


def renew_key(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Give up somebody's key that no vault has any more: they can write again, and what they wrote is gone."""
    from resilience.plaza import persons

    async def work(conn: Connection) -> dict[str, Any]:
        return {"name": options.name, "given_up": await persons.renew(conn, options.name)}

    return in_transaction(settings, work)


def set_mode(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Open the site to writers, or let only moderators write."""
    from resilience.plaza import mode

    async def work(conn: Connection) -> dict[str, Any]:
        now = await mode.change(conn, options.mode, options.why)
        return {"mode": now.mode, "why": now.why, "since": now.since.isoformat()}

    return in_transaction(settings, work)


def add_arguments(choices: dict[str, argparse.ArgumentParser]) -> None:
    """What these commands take."""
    notice = choices["add-notice"]
    notice.add_argument("post", nargs="*", help="address or id of a post")
    notice.add_argument("--vendor", required=True)
    notice.add_argument("--reference", required=True, help="what the vendor calls the letter")
    notice.add_argument("--due", required=True, help="when the vendor wants it done: 2026-01-02T12:00:00Z")
    notice.add_argument("--posts", help="file with addresses or ids, one a line; - reads them from stdin")
    notice.add_argument("--letter", type=Path, help="file with the letter's text")
    notice.add_argument("--rule", choices=IDS, default=LAW)
    choices["show-notice"].add_argument("notice", type=int, nargs="?")
    choices["export-evidence"].add_argument("notice", type=int)
    choices["export-evidence"].add_argument("--to", type=Path, required=True, help="the zip file to write")
    choices["export-evidence"].add_argument("--hold-key", type=Path, help="private half of HOLD_RECIPIENT")
    choices["release-hold"].add_argument("status", type=int)
    choices["renew-key"].add_argument("name", help="username")
    choices["set-mode"].add_argument("mode", choices=("open", "read-only"))
    choices["set-mode"].add_argument("--why", default="", help="shown to people who try to write")


def _lines(source: str) -> list[str]:
    text = sys.stdin.read() if source == "-" else Path(source).read_text(errors="replace")
    return text.splitlines()


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise PlazaError("--due can't be read", f"'{text}' is no moment", "Write 2026-01-02T12:00:00Z.") from None
