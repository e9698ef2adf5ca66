"""Mail: real SMTP servers; one that fails is passed over, and while all fail nobody is let in unverified."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from psycopg.rows import dict_row

from resilience.plaza.accounts import check_registration
from resilience.plaza.db import Connection
from resilience.plaza.errors import PlazaError
from resilience.plaza.mail import Mailer, NotNow, NotSent, Undeliverable, providers
from resilience.plaza.sweep import sweep_once
from tests.plaza.harness import PASSWORD, Site, free_port, wait_until
from tests.plaza.pages import guest, send

Sites = Callable[[], Site]


class Inbox:
    """An SMTP provider that can be taken away and come back."""

    def __init__(self) -> None:
        self.port = free_port()
        self.letters: list[Envelope] = []
        self.refuses = False
        self.unknown: set[str] = set()
        """Names that it knows no mailbox of."""
        self.no_mailbox = "550 5.1.1 No such user"
        self._controller: Controller | None = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 (the library's name)
        """Keep a letter, or refuse it as a provider does that closed the account."""
        if self.refuses:
            return "535 5.7.8 Account suspended"
        self.letters.append(envelope)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 (the library's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        """Take an address, or refuse it as a provider does that finds no such mailbox."""
        if address.partition("@")[0] in self.unknown:
            return self.no_mailbox
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def up(self) -> None:
        """Answer."""
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, ready_timeout=120)
        self._controller.start()

    def down(self) -> None:
        """Be gone."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    @property
    def texts(self) -> list[str]:
        """What the letters say."""
        return [str(letter.content, "utf-8") if isinstance(letter.content, bytes) else "" for letter in self.letters]


@pytest.fixture
def inboxes() -> Iterator[tuple[Inbox, Inbox]]:
    """Two providers that have nothing in common; both are up."""
    both = Inbox(), Inbox()
    for one in both:
        one.up()
    yield both
    for one in both:
        one.down()


@pytest.fixture
def site(sites: Sites, inboxes: tuple[Inbox, Inbox]) -> Site:
    """A plaza that asks for addresses."""
    made = sites()
    made.settings["MAIL"] = addresses(inboxes)
    made.settings["MAIL_FROM"] = "plaza@plaza.test"
    made.start()
    return made


def addresses(inboxes: tuple[Inbox, Inbox]) -> str:
    """What MAIL says of two providers at two hosts."""
    return f"smtp://127.0.0.1:{inboxes[0].port} smtp://localhost:{inboxes[1].port}"


def join(site: Site, name: str) -> Any:
    """Sign up by the form; the browser that did."""
    client = guest(site)
    form = {"username": name, "password": PASSWORD, "email": f"{name}@users.test", "agreement": "1"}
    assert send(client, "/register", form).headers["location"] == "/waiting"
    return client


def swept(site: Site) -> None:
    """As plaza sweeps each hour."""

    async def sweep() -> None:
        async with await Connection.connect(site.url, row_factory=dict_row) as conn:
            await sweep_once(conn)

    asyncio.run(sweep())


def link_in(texts: list[str], name: str) -> str:
    """The link that somebody was sent."""
    [text] = [text for text in texts if f"Hello {name}," in text]
    found = re.search(r"http://[^/]+(/confirm/\S+)", text.replace("=\r\n", ""))
    assert found is not None
    return found[1]


def test_nobody_is_in_before_the_address_is_proved(site: Site, inboxes: tuple[Inbox, Inbox], name: str) -> None:
    """No account, no session; the link asks before it does, works once, and lets in."""
    client = join(site, name)
    wait_until(lambda: inboxes[0].letters, site.log)
    wait_until(lambda: "A link is on its way" in client.get("/waiting").text, site.log)  # noted after it was taken
    assert site.sql("SELECT count(*) FROM accounts") == [(0,)]
    link = link_in(inboxes[0].texts, name)
    assert client.get(link).status_code == 200
    assert site.sql("SELECT count(*) FROM accounts") == [(0,)]
    assert send(client, link, {}).headers["location"] == "/?said=welcome"
    assert f"/@{name}" in client.get("/").text
    assert client.get(link).status_code == 404
    assert site.sql("SELECT username, email FROM accounts") == [(name, f"{name}@users.test")]
    assert inboxes[1].letters == []


def test_a_lost_provider_is_passed_over(site: Site, inboxes: tuple[Inbox, Inbox], name: str) -> None:
    """Gone or suspended: the other one brings the letter."""
    inboxes[0].down()
    join(site, f"{name}a")
    wait_until(lambda: len(inboxes[1].letters) == 1, site.log)
    inboxes[0].up()
    inboxes[0].refuses = True
    join(site, f"{name}b")
    wait_until(lambda: len(inboxes[1].letters) == 2, site.log)
    assert inboxes[0].letters == []


def test_without_any_provider_sign_ups_wait(site: Site, inboxes: tuple[Inbox, Inbox], name: str) -> None:
    """All gone: the name is kept, the page says so, nobody is let in; when one is back the letter goes out by itself."""
    for inbox in inboxes:
        inbox.down()
    client = join(site, name)
    wait_until(lambda: "no mail can be sent" in site.log(), site.log)
    page = client.get("/waiting").text
    assert "we can't send mail right now" in page.replace("&#39;", "'")
    assert client.get("/settings").headers["location"].startswith("/login")
    assert site.sql("SELECT count(*) FROM accounts") == [(0,)]
    inboxes[1].up()
    wait_until(lambda: inboxes[1].letters, site.log)
    assert send(client, link_in(inboxes[1].texts, name), {}).status_code == 303


def test_nobody_is_forgotten_before_a_letter_to_them_was_taken(
    site: Site, inboxes: tuple[Inbox, Inbox], name: str
) -> None:
    """Days without any provider are not that person's: the place is kept; two days after its letter went out it is not."""
    for inbox in inboxes:
        inbox.down()
    client = join(site, name)
    wait_until(lambda: "no mail can be sent" in site.log(), site.log)
    older = "UPDATE signups SET changed_at = changed_at - interval '3 days' WHERE username = %s"
    site.sql(older, name)
    swept(site)
    inboxes[1].up()
    wait_until(lambda: inboxes[1].letters, site.log)
    wait_until(lambda: site.sql("SELECT mailed_at IS NOT NULL FROM signups WHERE username = %s", name) == [(True,)])
    swept(site)
    assert "A link is on its way" in client.get("/waiting").text
    site.sql(older, name)
    swept(site)
    assert client.get("/waiting").headers["location"] == "/login"


def test_a_letter_that_nobody_takes_holds_up_no_other(site: Site, inboxes: tuple[Inbox, Inbox], name: str) -> None:
    """A mailbox that is not there, an address that no header can name: that person's; others get theirs, and it is tried again."""

    def tries() -> int:
        return int(site.sql("SELECT mail_tries FROM signups WHERE username = %s", name)[0][0])

    for inbox in inboxes:
        inbox.unknown.add(name)
    inboxes[0].no_mailbox = "450 4.7.1 Come again"
    client = join(site, name)
    wait_until(lambda: "letter not taken now" in site.log(), site.log)
    assert tries() == 0
    site.sql("UPDATE signups SET changed_at = changed_at - interval '3 days' WHERE username = %s", name)
    assert "No mail is taken for the address" not in client.get("/waiting").text
    inboxes[0].no_mailbox = "550 5.1.1 No such user"
    site.sql("UPDATE signups SET mail_due = now() WHERE username = %s", name)
    wait_until(lambda: tries() >= 1, site.log)
    assert "No mail is taken for the address" in client.get("/waiting").text
    swept(site)  # two days from when it was first refused, however long no letter could be sent before
    assert client.get("/waiting").status_code == 200
    site.sql("UPDATE signups SET email = 'a@[', mail_due = now() WHERE username = %s", name)
    wait_until(lambda: tries() >= 2, site.log)
    join(site, f"{name}h")
    wait_until(lambda: inboxes[0].letters or inboxes[1].letters, site.log)
    assert "SMTPRecipientsRefused" not in site.log()  # no provider is said to have failed
    for inbox in inboxes:
        inbox.unknown.clear()
    site.sql("UPDATE signups SET email = 'a@users.test', mail_due = now() WHERE username = %s", name)
    wait_until(lambda: any(f"Hello {name}," in text for text in inboxes[0].texts + inboxes[1].texts), site.log)
    assert send(client, link_in(inboxes[0].texts + inboxes[1].texts, name), {}).status_code == 303


def test_an_address_is_blamed_only_where_every_provider_refuses_it_for_good(inboxes: tuple[Inbox, Inbox]) -> None:
    """A provider that fails, or refuses for now, may be why: only two that answer and refuse for good make it the address."""
    mailer = Mailer(providers(addresses(inboxes)), "plaza@plaza.test")
    for inbox in inboxes:
        inbox.unknown.add("nobody")

    def why() -> type[Exception]:
        with pytest.raises((Undeliverable, NotNow, NotSent)) as caught:
            asyncio.run(mailer.send("nobody@users.test", "Hello", "text"))
        return caught.type

    assert why() is Undeliverable
    inboxes[0].no_mailbox = "450 4.7.1 Come again"
    assert why() is NotNow
    inboxes[0].down()
    assert why() is NotNow
    inboxes[1].down()
    assert why() is NotSent


def test_an_address_in_use_gets_its_letter_as_it_is(inboxes: tuple[Inbox, Inbox]) -> None:
    """Dots where the standard has none are in use, in Japan above all: no problem at sign-up, and the same address in the letter."""
    mailer = Mailer(providers(addresses(inboxes)), "plaza@plaza.test")
    for to in ("taro..x@docomo.test", "taro.@docomo.test", ".taro@ezweb.test", "o'brien+x@users.test"):
        assert check_registration("taro", PASSWORD, to, agreement=True) == {}
        asyncio.run(mailer.send(to, "Hello", "text"))
        letter = inboxes[0].letters.pop()
        assert letter.rcpt_tos == [to]
        assert isinstance(letter.content, bytes)
        assert f"To: {to}\r\n".encode() in letter.content


def test_an_address_is_asked_for_and_taken_once(site: Site, name: str) -> None:
    """No address or a strange one is refused where it happened; nobody else gets an address that waits."""
    form = {"username": name, "password": PASSWORD, "agreement": "1"}
    for email in (
        "",
        "nobody",
        "a@b@c",
        "a@[",
        "a,b@users.test",
        "a<b@users.test",
        "a@users..test",
        "a..b@users..test",
        "a..b,c@users.test",
        "k\u00e4the@users.test",
    ):
        answer = send(guest(site), "/register", {**form, "email": email})
        assert answer.status_code == 422
        assert "not an e-mail address" in answer.text
    join(site, name)
    answer = send(guest(site), "/register", {**form, "username": f"{name}z", "email": f"{name.upper()}@users.test"})
    assert "already been taken" in answer.text


@pytest.mark.parametrize(
    "text", ["smtp://one.test", "smtp://one.test smtps://one.test:465", "http://a.test smtp://b.test", "x y"]
)
def test_one_provider_is_not_enough(text: str) -> None:
    """Losing it would lose all mail: plaza does not start."""
    with pytest.raises(PlazaError, match="Mail is not configured"):
        providers(text)


def test_two_ports_of_this_host_are_two_providers_and_are_warned_of() -> None:
    """Two tunnels begin here and may end anywhere: plaza starts, and says what it can't see. The same one twice is one."""
    with structlog.testing.capture_logs() as said:
        assert len(providers("smtp://127.0.0.1:2525 smtp://127.0.0.1:2526")) == 2
    assert [one["log_level"] for one in said] == ["warning"]
    with pytest.raises(PlazaError, match="Mail is not configured"):
        providers("smtp://127.0.0.1:2525 smtp://127.0.0.1:2525")


def test_passwords_of_providers_are_not_shown() -> None:
    """A provider's name in logs is host and port."""
    [one, _] = providers("smtps://me:secret@one.test smtp://two.test")
    assert one.name == "one.test:465"


def test_a_rehearsed_copy_sends_nothing(sites: Sites, inboxes: tuple[Inbox, Inbox]) -> None:
    """With SENDS=off a letter that is due stays where it is; the same site sends it once it may."""
    site = sites()
    site.settings |= {"MAIL": addresses(inboxes), "MAIL_FROM": "plaza@plaza.test", "SENDS": "off"}
    site.start()
    join(site, "copied")
    wait_until(lambda: site.sql("SELECT state FROM signups WHERE username = 'copied'") == [("unconfirmed",)], site.log)
    site.end()
    assert [one.letters for one in inboxes] == [[], []]
    site.settings["SENDS"] = "on"
    site.start()
    wait_until(lambda: inboxes[0].letters, site.log)
    assert len(inboxes[0].letters) == 1
