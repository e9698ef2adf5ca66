"""Pushing: messages to people's devices by Web Push (RFC 8030, 8291, 8292), encrypted to each device's own key."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import structlog
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from webpush import WebPush, WebPushSubscription
from webpush.vapid import VAPID

from resilience.plaza import subscriptions
from resilience.plaza.db import Database
from resilience.plaza.errors import NotSafeElsewhere, PlazaError
from resilience.plaza.gate import Gate
from resilience.plaza.subscriptions import Parcel, Subscription

AT_ONCE = 16
IDLE_S = 1.0
SEND_S = 5.0
KEPT_S = 172_800
LONGEST_TEXT = 160
HTTPS = 443
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


class NotAllowed(Exception):
    """An endpoint that we don't connect to."""


class Pusher:
    """Sends what waits in the queue."""

    def __init__(self, db: Database, gate: Gate, key: Path, site: str, trusted: frozenset[str] = frozenset()) -> None:
        self._db = db
        self._gate = gate
        self._site = site
        self._trusted = trusted
        private = _load_key(key)
        self.public = VAPID.get_application_server_key(private.public_key())
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        domain = urlsplit(site).hostname
        self._messages = WebPush(key.read_bytes(), public, subscriber=f"operators@{domain}", ttl=KEPT_S)

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
        async with self._db.write() as conn:
            parcels = await subscriptions.take(conn, AT_ONCE)
        statuses = await asyncio.gather(*(asyncio.to_thread(self._send, parcel) for parcel in parcels))
        if parcels:
            async with self._db.write() as conn:
                for parcel, status in zip(parcels, statuses, strict=True):
                    after = subscriptions.later if status is None else subscriptions.sent
                    await (subscriptions.gone if status in GONE else after)(conn, parcel)
        return bool(parcels)

    def _send(self, parcel: Parcel) -> int | None:
        """The push service's answer; None when it is worth another try."""
        try:
            status = self._post(parcel.subscription, json.dumps(self._says(parcel)).encode())
        except NotAllowed as error:
            log.info("not pushed", why=str(error))
            return GONE[0]
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
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

    def _post(self, to: Subscription, text: bytes) -> int:
        keys = {"p256dh": to.p256dh, "auth": to.auth}
        subscription = WebPushSubscription.model_validate({"endpoint": to.endpoint, "keys": keys})
        message = self._messages.get(text, subscription)
        headers = {name.title(): value for name, value in message.headers.items()}
        headers |= {"Urgency": "normal", "Content-Type": "application/octet-stream"}
        with connection(to.endpoint, self._trusted) as (pool, path):
            answer = pool.request("POST", path, body=message.encrypted, headers=headers, redirect=False, retries=False)
        return answer.status


def connection(endpoint: str, trusted: frozenset[str]) -> _Pool:
    """A connection to a push service at exactly the address that was looked at; never into our own network."""
    parts = urlsplit(endpoint)
    host, path = parts.hostname or "", parts.path + (f"?{parts.query}" if parts.query else "")
    timeout = urllib3.Timeout(total=SEND_S)
    if host in trusted:
        return _Pool(urllib3.HTTPConnectionPool(host, parts.port, timeout=timeout), path)
    if parts.scheme != "https" or parts.port not in (None, HTTPS):
        raise NotAllowed("push services are reached by https on its own port")
    address = _public_address(host)
    pool = urllib3.HTTPSConnectionPool(
        address, HTTPS, timeout=timeout, server_hostname=host, assert_hostname=host, headers={"Host": host}
    )
    return _Pool(pool, path)


def _public_address(host: str) -> str:
    """An address of the host; refused when any of them is not out in the world."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, HTTPS, type=socket.SOCK_STREAM)]
    for text in found:
        if not ipaddress.ip_address(text).is_global:
            raise NotAllowed(f"{host} is in a network of somebody's own")
    return found[0]


class _Pool:
    """A pool that is closed after use, with the path to ask for."""

    def __init__(self, pool: urllib3.HTTPConnectionPool, path: str) -> None:
        self._pool = pool
        self._path = path

    def __enter__(self) -> tuple[urllib3.HTTPConnectionPool, str]:
        return self._pool, self._path

    def __exit__(self, *_: object) -> None:
        self._pool.close()


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    what, hint = "Nothing can be pushed", "Bring the fleet's vapid.key; VAPID_KEY names the file."
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise PlazaError(what, f"{path}: {error}", hint) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PlazaError(what, f"{path} is not a P-256 key", hint)
    return key
