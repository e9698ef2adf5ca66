"""What users of a drill do: fill plaza through its interface, then go on the whole time.

Everything that chance decides comes from a seed. Every acknowledged write is kept with the
moment its acknowledgement arrived; a post that got no answer is repeated with its own key.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import stamina

from resilience.adapters.plaza_client import MODERATION, SCOPES, Client, NotServed

if TYPE_CHECKING:
    from mastodon import Mastodon
    from requests import Session

SIZES = {"small": (200, 5_000, 200), "medium": (40, 400, 40)}
"""Users, posts, pictures that come through the front door; medium is loaded in bulk besides."""
HANDS = 6
"""Users at work at once while filling: more than cores, since who signs up waits for the vaults."""
CROWD = 6
"""Users who go on during the drill."""
DOOR = 128
"""So many who want to come in wait for an answer at a time; who comes while there are more waits for a turn."""
PAUSE_S = 0.25
WITH_PICTURE = 0.1
"""Share of posts that carry one."""
BROWSES = 0.2
"""Share of rounds in which a user also looks around."""
BUSY_S = 120.0
"""So long somebody comes again to a site that is too busy to say that they are in, or that a takedown is held elsewhere."""
LONGEST = 480
"""Characters of a text, below what plaza takes."""
SHA256_HEX = 64


def user(number: int) -> tuple[str, str]:
    """Name and password of a made-up user."""
    return f"user{number:04d}", f"not-a-secret-{number:04d}"


def seed(request: dict[str, Any]) -> dict[str, Any]:
    """Register users, follow, post texts and pictures, with Mastodon.py as the client."""
    users, posts, pictures = SIZES[request["size"]]
    texts = _texts(Path(request["texts"]))
    images = sorted(Path(request["pictures"]).iterdir())
    rng = random.Random(request["seed"])
    jobs = [
        _Fill(
            request["base"],
            i,
            [rng.choice(texts) for _ in range(posts // users)],
            [images[(i * pictures // users + n) % len(images)] for n in range(pictures // users)],
            rng.randrange(users),
        )
        for i in range(users)
    ]
    with ThreadPoolExecutor(max_workers=HANDS) as pool:
        made = list(pool.map(_Fill.run, jobs))
    return {"users": users, "posts": sum(n for n, _ in made), "pictures": sum(n for _, n in made)}


def _texts(file: Path) -> list[str]:
    found = [text.strip() for text in file.read_text(errors="replace").split("\n%\n")]
    return [text for text in found if 0 < len(text) <= LONGEST]


@dataclass
class _Fill:
    """One user's share of the filling."""

    base: str
    number: int
    texts: list[str]
    pictures: list[Path]
    follows: int

    def run(self) -> tuple[int, int]:
        from mastodon import Mastodon

        name, password = user(self.number)
        meant: dict[str, Any] = {"api_base_url": self.base, "session": _patient()}
        client_id, secret = Mastodon.create_app("seed", scopes=SCOPES.split(), **meant)
        api = Mastodon(client_id=client_id, client_secret=secret, **meant)
        _enter(api, name, password)
        for number, text in enumerate(self.texts[len(self.pictures) :]):
            api.status_post(text, idempotency_key=f"text {number}")
        for text, picture in zip(self.texts, self.pictures, strict=False):
            media = api.media_post(str(picture), description="A picture")
            api.status_post(text, media_ids=[media], idempotency_key=f"picture {media.id}")
        self._follow(api)
        return len(self.texts), len(self.pictures)

    def _follow(self, api: Mastodon) -> None:
        from mastodon import MastodonError

        try:
            other = api.account_lookup(user(self.follows)[0])
            api.account_follow(other)
        except MastodonError:
            return  # that user does not exist yet, or is this one


def _enter(api: Mastodon, name: str, password: str) -> None:
    """Sign up; a busy site may have made the account and have been too late to say so: then the name is taken, by them."""
    from mastodon import MastodonIllegalArgumentError

    try:
        api.create_account(name, password, f"{name}@users.test", agreement=True, scopes=SCOPES.split())
    except MastodonIllegalArgumentError:
        for attempt in stamina.retry_context(on=MastodonIllegalArgumentError, attempts=None, timeout=BUSY_S):
            with attempt:
                api.log_in(name, password, scopes=SCOPES.split())


def _patient() -> Session:
    """Connections by which one comes again, for minutes, where a busy site asks for that (503)."""
    from requests import Session
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    again = Retry(None, connect=0, read=0, other=0, status=60, status_forcelist=[503], allowed_methods=None)
    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=again))
    return session


def take_down(request: dict[str, Any]) -> dict[str, Any]:
    """Report the oldest posts and take them down, as the first user, who moderates: users of a drill look for their own.

    Each request by itself is repeated where a busy site does not answer: a takedown of which it was too late to say so is made.
    """
    client = Client(request["base"])
    again = stamina.RetryingCaller(attempts=None, timeout=BUSY_S, wait_max=2.0).on(_is_busy)
    again(client.log_in, *user(0), scopes=f"{SCOPES} {MODERATION}")
    posts = again(client.timeline, min_id="0", limit=int(request["count"]))
    for post in posts:
        again(client.report, post["id"], post["account"]["id"])
        again(client.take_down, post["id"])
    return {"taken_down": [post["id"] for post in posts]}


def _is_busy(error: Exception) -> bool:
    return isinstance(error, NotServed) and error.status in {0, httpx.codes.SERVICE_UNAVAILABLE}


@dataclass
class OldSite:
    """A client that keeps writing at the old address: what the fence is for."""

    attempts: int = 0
    acknowledged: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def begin(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start trying."""
        self.thread = threading.Thread(target=self._try, args=(request["base"],), daemon=True)
        self.thread.start()
        return {}

    def _try(self, base: str) -> None:
        client, inside = Client(base), False
        while not self.stop.is_set():
            try:
                self.attempts += 1
                if not inside:
                    client.log_in(*user(1))
                    inside = True
                self.acknowledged.append(client.post("Is anybody still here?")["id"])
            except NotServed:
                self.stop.wait(PAUSE_S)

    def end(self, request: dict[str, Any]) -> dict[str, Any]:
        """Stop, and say what came of it."""
        self.stop.set()
        if self.thread is not None:
            self.thread.join(timeout=20)
        return {"attempts": self.attempts, "acknowledged": self.acknowledged}


@dataclass
class Workload:
    """Users who go on the whole time, in threads of this process."""

    writes: list[dict[str, Any]] = field(default_factory=list)
    requests: list[list[Any]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    first: threading.Event = field(default_factory=threading.Event)

    def begin(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start the crowd; answers after the first acknowledged write."""
        pictures = [p.read_bytes() for p in sorted(Path(request["pictures"]).iterdir())[:20]]
        texts = _texts(Path(request["texts"]))
        for number in range(CROWD):
            rng = random.Random(request["seed"] * 1000 + number)
            args = (request["base"], number, rng, texts, pictures)
            thread = threading.Thread(target=self._live, args=args, daemon=True)
            self.threads.append(thread)
        coming = (request["base"], request["newcomers"])
        self.threads.append(threading.Thread(target=self._come, args=coming, daemon=True))
        for thread in self.threads:
            thread.start()
        if not self.first.wait(timeout=60):
            raise NotServed("begin", 0, "no write was acknowledged within 60 s")
        return {}

    def recent(self, request: dict[str, Any]) -> dict[str, Any]:
        """How many writes were acknowledged in the last seconds."""
        since = time.time() - float(request["seconds"])
        return {"writes": sum(1 for write in reversed(self.writes) if write["at"] >= since)}

    def end(self, request: dict[str, Any]) -> dict[str, Any]:
        """Stop, and hand over everything that was kept."""
        self.stop.set()
        for thread in self.threads:
            thread.join(timeout=20)
        return {"writes": self.writes, "requests": self.requests}

    def _keep(self, at: float, what: str, ok: bool, ms: float, detail: str) -> None:  # noqa: FBT001
        self.requests.append([round(at, 3), what, ok, round(ms, 1), detail])

    def _live(self, base: str, number: int, rng: random.Random, texts: list[str], pictures: list[bytes]) -> None:
        client = Client(base, self._keep)
        while not self.stop.is_set() and not self._insist(lambda: client.log_in(*user(number))):
            self.stop.wait(PAUSE_S)
        while not self.stop.is_set():
            began = time.monotonic()
            self._once(client, rng, texts, pictures)
            self.stop.wait(max(0.0, PAUSE_S - (time.monotonic() - began)))

    def _come(self, base: str, a_second: int) -> None:
        """People who sign up, so many a second however long it takes, each under a name that no earlier drill used."""
        first, began = int(time.time()), time.monotonic()
        # Once the process ends, the pool takes nobody on any more.
        with suppress(RuntimeError), ThreadPoolExecutor(max_workers=DOOR) as door:
            for number in count():
                if self.stop.wait(max(0.0, began + number / a_second - time.monotonic())):
                    return
                door.submit(self._join, base, f"newcomer{first:x}_{number}")

    def _join(self, base: str, name: str) -> None:
        """Sign up; whoever was let in is a write too, by name."""
        client = Client(base, self._keep)
        if (
            not self.stop.is_set()
            and self._insist(lambda: client.register(name, "not-a-secret-of-mine"))
            and self._insist(client.who_am_i)
        ):
            self.writes.append({"id": f"@{name}", "at": round(time.time(), 4), "media": None, "newcomer": True})

    def _once(self, client: Client, rng: random.Random, texts: list[str], pictures: list[bytes]) -> None:
        key, text, media = f"{rng.getrandbits(64):016x}", rng.choice(texts), list[str]()
        sha = None
        if rng.random() < WITH_PICTURE:
            try:
                up = client.upload(rng.choice(pictures), "A picture")
            except NotServed:
                return
            media, sha = [up["id"]], _sha(up["url"])
        made = self._post(client, text, media, key)
        if made is None:
            return
        self.writes.append({"id": made, "at": round(time.time(), 4), "media": sha})
        self.first.set()
        self._insist(lambda: client.read(made))
        if rng.random() < BROWSES:
            self._insist(lambda: self._browse(client))

    def _post(self, client: Client, text: str, media: list[str], key: str) -> str | None:
        """Post until it is acknowledged, always with the same key; None where it was refused."""
        while not self.stop.is_set():
            try:
                return str(client.post(text, media, key)["id"])
            except NotServed as error:
                if httpx.codes.is_client_error(error.status):
                    return None
                self.stop.wait(PAUSE_S)
        return None

    def _browse(self, client: Client) -> None:
        for status in client.timeline("public", limit=20):
            for picture in status["media_attachments"][:1]:
                client.look(picture["url"])
                return

    @staticmethod
    def _insist(act: Any) -> bool:
        try:
            act()
        except NotServed:
            return False
        return True


def _sha(url: str) -> str | None:
    name = Path(url).stem
    return name if len(name) == SHA256_HEX else None
