"""The courier: encrypts one message to one device's key, and hands it to that device's push service.

Imported when the first message is sent: what it needs takes as long to load as all the rest of plaza.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from webpush import WebPush, WebPushSubscription

from resilience.plaza.subscriptions import Subscription

SEND_S = 5.0
KEPT_S = 172_800
HTTPS = 443
FAILURES = (OSError, ValueError, urllib3.exceptions.HTTPError)
"""What another try may mend."""


class NotAllowed(Exception):
    """An endpoint that we don't connect to."""


class Courier:
    """Carries messages, signed with the fleet's key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, site: str, trusted: frozenset[str]) -> None:
        self._trusted = trusted
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._messages = WebPush(private, public, subscriber=f"operators@{urlsplit(site).hostname}", ttl=KEPT_S)

    def carry(self, to: Subscription, text: bytes) -> int:
        """The push service's answer."""
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
