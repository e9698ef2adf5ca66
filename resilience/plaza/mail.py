"""Mail: at least two providers behind one door. One that fails is passed over for a while; when all fail, nothing is sent."""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol
from urllib.parse import unquote, urlsplit

import structlog

from resilience.plaza.errors import PlazaError

SEND_S = 10.0
PASSED_OVER_S = 60.0
PERMANENT = 500
"""From here on SMTP's codes say that trying again changes nothing."""
PORTS = {"smtp": 587, "smtps": 465}
DOTTED = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+")

log = structlog.get_logger()


class NotSent(Exception):
    """No provider took a message; it has to be sent again later."""


class Undeliverable(Exception):
    """Every provider answers, and none of them will ever take mail for this address."""


class NotNow(Exception):
    """Who answered took no mail for this address, for now or while another failed: it may be the provider and not the address."""


class Provider(Protocol):
    """A way to send mail."""

    @property
    def name(self) -> str:
        """What operators call it."""

    def send(self, message: EmailMessage) -> None:
        """Hand a message over; raises OSError or smtplib.SMTPException when it was not taken."""


@dataclass(frozen=True, slots=True)
class Smtp:
    """A provider reached by SMTP: `smtps://user:password@host`, or `smtp://` with STARTTLS where it is offered."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    tls: bool = False
    trusted: bool = False
    """Reached without encryption: for a provider on this host alone."""

    @property
    def name(self) -> str:
        """Host and port, never the password."""
        return f"{self.host}:{self.port}"

    def send(self, message: EmailMessage) -> None:
        """Hand a message over, encrypted unless the provider is on this host."""
        context = ssl.create_default_context()
        kind = smtplib.SMTP_SSL(self.host, self.port, timeout=SEND_S, context=context) if self.tls else None
        with kind or smtplib.SMTP(self.host, self.port, timeout=SEND_S) as server:
            if not self.tls and not self.trusted:
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
            server.send_message(message)


class Mailer:
    """Sends by the first provider that takes it."""

    def __init__(self, providers: Sequence[Provider], sender: str) -> None:
        self._providers = list(providers)
        self._sender = sender
        self._failed_at: dict[str, float] = {}

    @property
    def is_on(self) -> bool:
        """Whether this site sends mail, and so asks for addresses."""
        return bool(self._providers)

    async def send(self, to: str, subject: str, text: str) -> str:
        """Send one message; the name of the provider that took it. Raises NotSent, NotNow or Undeliverable when none did."""
        if not is_address(to):
            raise Undeliverable
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, _header(to), subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=self._sender.rpartition("@")[2])
        message.set_content(text)
        return await asyncio.to_thread(self._try_each, message)

    def _try_each(self, message: EmailMessage) -> str:
        for_good: list[bool] = []
        failed = False
        for provider in self._in_order():
            try:
                provider.send(message)
            except smtplib.SMTPRecipientsRefused as error:
                for_good.append(all(code >= PERMANENT for code, _ in error.recipients.values()))
                continue
            except (OSError, smtplib.SMTPException) as error:
                failed = True
                self._failed_at[provider.name] = time.monotonic()
                log.warning("mail provider failed", provider=provider.name, why=type(error).__name__)
                continue
            self._failed_at.pop(provider.name, None)
            return provider.name
        if not for_good:
            raise NotSent
        raise Undeliverable if all(for_good) and not failed else NotNow

    def _in_order(self) -> list[Provider]:
        """Those that failed a moment ago come last, and are still tried."""
        recent = time.monotonic() - PASSED_OVER_S
        return sorted(self._providers, key=lambda one: self._failed_at.get(one.name, recent) > recent)


def is_address(text: str) -> bool:
    """Whether a letter's header can name it as it is, alone; dots anywhere before the @ are in use, whatever the standard says."""
    name, _, host = text.rpartition("@")
    return _is_standard(text) or (DOTTED.fullmatch(name) is not None and _is_standard(f"x@{host}"))


def _is_standard(text: str) -> bool:
    """What the library makes of it is the same address."""
    try:
        return text.isascii() and Address(addr_spec=text).addr_spec == text
    except Exception:  # noqa: BLE001 (what it can't read it says by any error, AttributeError too)
        return False


def _header(to: str) -> Address | str:
    """The library makes no address of one with such dots, and writes it as it is."""
    return Address(addr_spec=to) if _is_standard(to) else to


def providers(text: str) -> list[Provider]:
    """Providers from addresses, separated by spaces: none, or at least two at different hosts; two ports of this host may be tunnels to two."""
    found = [_smtp(url) for url in text.split()]
    if found and len({one.name if one.trusted else one.host for one in found}) < 2:
        what = "Mail is not configured"
        raise PlazaError(
            what, "MAIL names one provider, and losing it would lose all", "Name two that have nothing in common."
        )
    if found and len({one.host for one in found}) < 2:
        log.warning("mail goes by this host alone", next="Make sure that its ports lead to two that share nothing.")
    return list(found)


def _smtp(url: str) -> Smtp:
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise PlazaError(
            "Mail is not configured", "MAIL has an address that is none", "Write smtps://user:password@host."
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    here = parts.hostname in ("127.0.0.1", "localhost", "::1")
    port = parts.port or PORTS[parts.scheme]
    return Smtp(parts.hostname, port, user, password, tls=parts.scheme == "smtps", trusted=here)
