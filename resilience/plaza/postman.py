"""The postman: sends each new person a link to prove their address. While no provider takes mail, they wait."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from resilience.plaza import signups
from resilience.plaza.bearer import digest, new_secret
from resilience.plaza.db import Database
from resilience.plaza.errors import NotSafeElsewhere
from resilience.plaza.gate import Gate
from resilience.plaza.mail import Mailer, NotNow, NotSent, Undeliverable
from resilience.plaza.signups import Letter

IDLE_S = 1.0
AGAIN_S = 5.0
AT_ONCE = 8
SUBJECT = "Your new account at Plaza"
TEXT = """Hello {name},

open this link to start using Plaza:

{link}

It works for two days. If you did not sign up, do nothing: nobody gets in with your address.
"""

log = structlog.get_logger()


class Postman:
    """Works as long as the server runs, if this site sends mail."""

    def __init__(self, db: Database, gate: Gate, mailer: Mailer, site: str) -> None:
        self._db = db
        self._gate = gate
        self._mailer = mailer
        self._site = site

    async def keep(self) -> None:
        """Send what has to be sent; again later when no provider takes it."""
        while self._mailer.is_on:
            pause = IDLE_S
            try:
                if self._gate.why_closed is None:
                    await self._deliver()
            except NotSent:
                log.warning("no mail can be sent", next="Sign-ups wait. Mend a provider, or name another in MAIL.")
                pause = AGAIN_S
            except (psycopg.Error, NotSafeElsewhere) as error:
                log.warning("no mail sent", why=str(error).strip()[:200])
            await asyncio.sleep(pause)

    async def _deliver(self) -> None:
        async with self._db.read() as conn:
            letters = await signups.unmailed(conn, AT_ONCE)
        for letter in letters:
            await self._send(letter)

    async def _send(self, letter: Letter) -> None:
        """Whatever is wrong with one letter, the next ones go out; it is tried again later."""
        try:
            await self._hand_over(letter)
        except (psycopg.Error, NotSafeElsewhere):
            raise
        except NotSent:
            async with self._db.work() as conn:
                await signups.to_the_end(conn, letter.id)
            raise
        except NotNow:
            async with self._db.work() as conn:
                await signups.in_a_minute(conn, letter.id)
            log.warning("letter not taken now", signup=letter.id, next="It is tried again in a minute.")
        except Exception as error:
            unknown = not isinstance(error, Undeliverable)
            log.warning("letter put off", signup=letter.id, why=type(error).__name__, exc_info=unknown)
            async with self._db.work() as conn:
                await signups.put_off(conn, letter.id)

    async def _hand_over(self, letter: Letter) -> None:
        """The link is known before it is sent; it counts as sent once a provider took it."""
        secret = new_secret()
        async with self._db.work() as conn:
            await signups.expect(conn, letter.id, digest(secret))
        text = TEXT.format(name=letter.username, link=f"{self._site}/confirm/{secret}")
        await self._mailer.send(letter.email, SUBJECT, text)
        async with self._db.work() as conn:
            await signups.mailed(conn, letter.id)
