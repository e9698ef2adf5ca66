"""Pushing: messages to people's devices by Web Push (RFC 8030, 8291, 8292), encrypted to each device's own key."""

from __future__ import annotations

import asyncio
import base64
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from resilience.plaza import subscriptions
from resilience.plaza.db import Database
from resilience.plaza.errors import NotSafeElsewhere, PlazaError
from resilience.plaza.gate import Gate
from resilience.plaza.subscriptions import Parcel

if TYPE_CHECKING:
    from resilience.plaza.courier import Courier

AT_ONCE = 16
IDLE_S = 1.0
LONGEST_TEXT = 160
GONE = (404, 410)
SAYS = {
    "mention": "{by} mentioned you",
    "follow": "{by} follows you",
    "favourite": "{by} likes your post",
    "status": "{by} posted",
    "update": "{by} edited a post",
    "admin.report": "There is a new report",
}

log = structlog.get_logger()


class Pusher:
    """Sends what waits in the queue."""

    def __init__(self, db: Database, gate: Gate, key: Path, site: str, trusted: frozenset[str] = frozenset()) -> None:
        self._db = db
        self._gate = gate
        self._site = site
        self._trusted = trusted
        self._key = _load_key(key)
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public = base64.urlsafe_b64encode(point).decode().rstrip("=")

    async def keep(self) -> None:
        """Send as long as the server runs."""
        while True:
            try:
                busy = self._gate.why_closed is None and await self.send_due()
            except (psycopg.Error, NotSafeElsewhere) as error:
                log.warning("nothing pushed", why=str(error).strip()[:200])
                busy = False
            if not busy:
                await asyncio.sleep(IDLE_S)

    async def send_due(self) -> bool:
        """Send what is due; True when there was something."""
        async with self._db.work() as conn:
            parcels = await subscriptions.take(conn, AT_ONCE)
        statuses = await asyncio.gather(*(asyncio.to_thread(self._send, parcel) for parcel in parcels))
        if parcels:
            async with self._db.work() as conn:
                for parcel, status in zip(parcels, statuses, strict=True):
                    after = subscriptions.later if status is None else subscriptions.sent
                    await (subscriptions.gone if status in GONE else after)(conn, parcel)
        return bool(parcels)

    def _send(self, parcel: Parcel) -> int | None:
        """The push service's answer; None when it is worth another try."""
        from resilience.plaza.courier import FAILURES, NotAllowed

        try:
            status = self._courier.carry(parcel.subscription, json.dumps(self._says(parcel)).encode())
        except NotAllowed as error:
            log.info("not pushed", why=str(error))
            return GONE[0]
        except FAILURES as error:
            log.info("not pushed", why=type(error).__name__)
            return None
        return None if status == 429 or status >= 500 else status

    def _says(self, parcel: Parcel) -> dict[str, object]:
        """What Mastodon's clients expect, without a token: we don't have it ourselves."""
        path = f"/@{parcel.owner}/{parcel.status_id}" if parcel.status_id else f"/@{parcel.owner}"
        return {
            "notification_id": parcel.notification_id,
            "notification_type": parcel.kind,
            "preferred_locale": "en",
            "icon": f"{self._site}/static/icon-192.png",
            "title": SAYS.get(parcel.kind, "News from {by}").format(by=parcel.by),
            "body": parcel.text[:LONGEST_TEXT],
            "url": self._site + path,
        }

    @cached_property
    def _courier(self) -> Courier:
        """Who carries messages, called when there is the first one."""
        from resilience.plaza.courier import Courier

        return Courier(self._key, self._site, self._trusted)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    what, hint = "Nothing can be pushed", "Bring the fleet's vapid.key; VAPID_KEY names the file."
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise PlazaError(what, f"{path}: {error}", hint) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PlazaError(what, f"{path} is not a P-256 key", hint)
    return key
