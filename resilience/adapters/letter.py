"""A vendor's letter, text or e-mail: what it says, by when, and about which of our pages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any

CLOCK = re.compile(r"\d\s*(?:[:.]\d\d|[ap]\.?m)|\bhours?\b|\bnoon\b|\bmidnight\b", re.IGNORECASE)
"""Words that say a time of the day; a date alone leaves a whole day open."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment in the letter that still lay ahead when it was written, and the words that say so."""

    at: datetime
    words: str


@dataclass(frozen=True, slots=True)
class Letter:
    """What was read."""

    text: str
    headers: tuple[tuple[str, str], ...]
    sha256: str

    def header(self, name: str) -> str:
        """One header, empty where there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def sent_at(self) -> datetime | None:
        """When it says it was sent; None for plain text and for a date that is none."""
        try:
            sent = parsedate_to_datetime(self.header("Date"))
        except (TypeError, ValueError):
            return None
        return sent if sent.tzinfo else sent.replace(tzinfo=UTC)

    def deadlines(self, since: datetime) -> list[Deadline]:
        """Every moment after `since` that it names, each once, in its order."""
        from dateparser.search import search_dates

        settings: dict[str, Any] = {
            "RETURN_AS_TIMEZONE_AWARE": True,
            "RELATIVE_BASE": since.astimezone(UTC).replace(tzinfo=None),
            "PREFER_DATES_FROM": "future",
            "TIMEZONE": "UTC",
        }
        found: list[tuple[str, datetime]] | None = search_dates(self.text, languages=["en"], settings=settings)
        kept: dict[datetime, Deadline] = {}
        for words, at in [] if found is None else found:
            if at > since and any(letter.isdigit() for letter in words):
                kept.setdefault(at, Deadline(at.astimezone(UTC), words.strip()))
        return list(kept.values())

    def clear_deadline(self, since: datetime) -> Deadline | None:
        """The one moment ahead that it names with a time of the day; None where a person has to say."""
        found = self.deadlines(since)
        return found[0] if len(found) == 1 and CLOCK.search(found[0].words) else None

    def named(self, names: Iterable[str]) -> tuple[str, ...]:
        """Which of these its sender bears; else those in its subject and text."""
        known = tuple(names)
        by_sender = _words_in(self.header("From"), known)
        return by_sender or _words_in(f"{self.header('Subject')}\n{self.text}", known)

    def pages_of(self, host: str) -> tuple[str, ...]:
        """Addresses at our public name, in its order, each once; without the dot that ends a sentence."""
        found = re.findall(rf"https?://{re.escape(host)}/[^\s<>\"')\]]+", self.text)
        return tuple(dict.fromkeys(url.rstrip(".,;:") for url in found))


def read_letter(data: bytes) -> Letter:
    """A letter as it came: an e-mail where it begins like one, else plain text."""
    digest = hashlib.sha256(data).hexdigest()
    message = message_from_bytes(data, policy=policy.default)
    if not (message["From"] and message["Date"]):
        return Letter(data.decode("utf-8", "replace"), (), digest)
    headers = tuple((name, str(value)) for name, value in message.items())
    return Letter(_text_of(message), headers, digest)


def _words_in(text: str, words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE))


def _text_of(message: EmailMessage) -> str:
    """The part a person would read."""
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return ""
    text = str(body.get_content())
    return text if body.get_content_subtype() == "plain" else unescape(re.sub(r"<[^>]+>", " ", text))
