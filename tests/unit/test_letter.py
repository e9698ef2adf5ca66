"""A vendor's letter: its deadline only where it is clear, its posts, its headers; junk is text without any."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.adapters.letter import read_letter

SENT = datetime(2026, 11, 24, 18, 7, tzinfo=UTC)


def mail(body: str, *, html: bool = False) -> bytes:
    """An e-mail as a mailbox saves it."""
    message = EmailMessage()
    message["From"] = "Trust and Safety <trust@acorn.test>"
    message["Subject"] = "Your account"
    message["Date"] = "Tue, 24 Nov 2026 18:07:00 +0000"
    message["Message-ID"] = "<98@acorn.test>"
    message.set_content(body, subtype="html" if html else "plain")
    return bytes(message)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("we will suspend the account effective Thursday, November 26th, at 00:07 UTC.", (26, 0, 7)),
        ("Your account will be closed within 30 hours of this notice.", (26, 0, 7)),
        ("Move your data no later than 2026-11-26 18:00 UTC", (26, 18, 0)),
        ("You joined on 3 May 2019. The account ends on 25 November 2026 at 16:00 PST.", (26, 0, 0)),
    ],
)
def test_a_clear_deadline_is_found(text: str, at: tuple[int, int, int]) -> None:
    """One moment ahead with a time of the day, however it is written, in its own time zone."""
    found = read_letter(mail(text)).clear_deadline(SENT)
    assert found is not None
    assert found.at == datetime(2026, 11, at[0], at[1], at[2], tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "We may suspend you at any time.",
        "The account ends on 26 November 2026.",
        "Answer by 25 November 2026, 12:00 UTC. The account ends on 26 November 2026, 18:00 UTC.",
        "You joined on 3 May 2019 at 12:00.",
    ],
)
def test_an_unclear_deadline_is_left_to_a_person(text: str) -> None:
    """None, a day without a time, two of them, one that is past: never a guess."""
    assert read_letter(mail(text)).clear_deadline(SENT) is None


@pytest.mark.parametrize("html", [False, True])
def test_our_posts_are_found_each_once(html: bool) -> None:  # noqa: FBT001
    """Addresses at our name, in order; others' are not ours; a full stop is no part of one."""
    body = (
        "See http://plaza.test/@ann/12, https://plaza.test/@bob/13. Again http://plaza.test/@ann/12 http://else.test/1"
    )
    letter = read_letter(mail(f"<p>{body}</p>" if html else body, html=html))
    assert letter.pages_of("plaza.test") == ("http://plaza.test/@ann/12", "https://plaza.test/@bob/13")


def test_headers_and_hash_are_kept() -> None:
    """Who, when, under which id: as the e-mail says; the hash is of the bytes as they came."""
    letter = read_letter(mail("hello"))
    assert letter.header("message-id") == "<98@acorn.test>"
    assert letter.sent_at == SENT
    assert len(letter.sha256) == 64


@given(st.binary(max_size=400))
def test_any_bytes_are_a_letter(data: bytes) -> None:
    """Whatever somebody saved is read as text at worst, and never breaks the command."""
    letter = read_letter(data)
    assert isinstance(letter.text, str)
    assert isinstance(letter.pages_of("plaza.test"), tuple)
