"""The load of `scripts/bench plaza`: people who sign up, and people who read; one JSON object at the end.

    _plaza_load.py '{"do": "crowd" | "pages", "address": [host, port], …}'

Everybody has a connection of their own, as browsers do. What is timed is a whole answer, as its reader sees it.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Awaitable, Callable
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httptools
import uvloop

PASSWORD = "a few words in a row"  # noqa: S105 (of people who are made up)
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
AGAIN = re.compile(r'http-equiv="refresh" content="(\d+)"')
PATIENCE_S = 30.0
TRIES = 20
OK, SEE_OTHER = 200, 303


class Answer:
    """One answer, as httptools hands it over."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.parts: list[bytes] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin1").lower(), value.decode("latin1")))

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        self.complete = True

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def text(self) -> str:
        return b"".join(self.parts).decode()


class Browser:
    """One person's connection and cookies."""

    def __init__(self, address: tuple[str, int], cookies: dict[str, str] | None = None) -> None:
        self.address = address
        self.cookies = dict(cookies or {})
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def get(self, path: str) -> Answer:
        """Open a page."""
        return await self._ask("GET", path, b"")

    async def post(self, path: str, form: dict[str, str]) -> Answer:
        """Send a form."""
        return await self._ask("POST", path, urlencode(form).encode())

    def close(self) -> None:
        """Hang up."""
        if self.writer is not None:
            self.writer.close()
            self.writer = self.reader = None

    async def _ask(self, method: str, path: str, body: bytes) -> Answer:
        async with asyncio.timeout(PATIENCE_S):
            kept = self.writer is not None
            try:
                return await self._once(method, path, body)
            except (OSError, EOFError):
                self.close()
                if not kept:
                    raise
                return await self._once(method, path, body)  # the server let an idle connection go

    async def _once(self, method: str, path: str, body: bytes) -> Answer:
        if self.writer is None or self.reader is None:
            self.reader, self.writer = await asyncio.open_connection(*self.address)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.address[0]}", f"Cookie: {cookies}", "Accept: text/html"]
        if body:
            lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        answer = Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            parser.feed_data(data)
        answer.status = parser.get_status_code()
        self._keep(answer)
        return answer

    def _keep(self, answer: Answer) -> None:
        for name, value in answer.headers:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        if answer.header("connection") == "close":
            self.close()


class Crowd:
    """People who sign up at a rate, while others read at a rate."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.address: tuple[str, int] = (order["address"][0], order["address"][1])
        self.rng = random.Random(order["seed"])  # noqa: S311 (the same load for the same seed)
        self.read: dict[str, list[list[float]]] = {"inside": [], "outside": []}
        self.placed: list[float] = []
        self.inside: list[list[Any]] = []
        self.turned_away = 0
        self.lost: list[str] = []
        self.problems: list[str] = []
        self.began = time.monotonic()
        self.over = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """Everybody at once; over when the last who signed up is in."""
        readers = [asyncio.create_task(self._readers(kind)) for kind in self.read]
        await self._evenly(self.order["signups_s"], self.order["seconds"], self._sign_up)
        lasted = time.monotonic() - self.began
        self.over.set()
        await asyncio.gather(*readers)
        return {
            "read": self.read, "placed": self.placed, "inside": self.inside, "lost": self.lost,
            "turned_away": self.turned_away, "lasted_s": lasted, "problems": self.problems[:20],
        }  # fmt: skip

    async def _evenly(self, rate: float, seconds: float, act: Callable[[int], Awaitable[None]]) -> None:
        tasks, number = [], 0
        while number < rate * seconds:
            await asyncio.sleep(max(0.0, self.began + number / rate - time.monotonic()))
            tasks.append(asyncio.create_task(self._noted(act, number)))
            number += 1
        await asyncio.gather(*tasks)

    async def _noted(self, act: Callable[[int], Awaitable[None]], number: int) -> None:
        try:
            await act(number)
        except (OSError, EOFError, TimeoutError) as error:
            self.problems.append(repr(error))

    async def _sign_up(self, number: int) -> None:
        """One person: the form, a place, waiting as the page says, and one's home."""
        name, began = f"{self.order['prefix']}{number:06d}", time.monotonic()
        browser = Browser(self.address)
        try:
            answer = await self._place(browser, name)
            self.placed.append(time.monotonic() - began)
            while answer.header("location") == "/waiting" or not answer.header("location"):
                page = await browser.get("/waiting")
                found = AGAIN.search(page.text)
                if found:
                    await asyncio.sleep(int(found[1]))
                answer = page
            if not answer.header("location").startswith("/?said=welcome"):
                self.lost.append(f"{name}: {answer.status} {answer.header('location')}")
                return
            page = await browser.get("/")
            if f"/@{name}" not in page.text:
                self.lost.append(f"{name}: {page.status} at home")
                return
            self.inside.append([name, time.monotonic() - self.began])
        finally:
            browser.close()

    async def _place(self, browser: Browser, name: str) -> Answer:
        """Send the form until there is an answer to it; the same form is the same place."""
        form: dict[str, str] = {}
        for _ in range(TRIES):
            if not form:
                page = await browser.get("/register")
                form = {key: unescape(value) for key, value in HIDDEN.findall(page.text)}
            if form:
                sent = {**form, "username": name, "password": PASSWORD, "agreement": "1"}
                answer = await browser.post("/register", sent)
                if answer.status == SEE_OTHER:
                    return answer
            self.turned_away += 1
            await asyncio.sleep(5)
        raise TimeoutError(name)

    async def _readers(self, kind: str) -> None:
        """Pages at a rate, each reader with a connection that stays."""
        rate = self.order[f"{kind}_s"]
        cookies = self.order["sessions"] if kind == "inside" else [""]
        people = [
            Browser(self.address, {"plaza_session": one} if one else {}) for one in cookies * (40 // len(cookies))
        ]
        tasks, number = set(), 0
        while not self.over.is_set() and rate:
            await asyncio.sleep(max(0.0, self.began + number / rate - time.monotonic()))
            if person := next((one for one in people if not getattr(one, "busy", False)), None):
                task = asyncio.create_task(self._noted(self._look(kind, person), number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            else:
                self.problems.append("all readers wait for an answer")
            number += 1
        await asyncio.gather(*tasks)

    def _look(self, kind: str, person: Browser) -> Callable[[int], Awaitable[None]]:
        person.busy = True  # type: ignore[attr-defined]

        async def look(_: int) -> None:
            path, began = self.rng.choice(self.order["paths"]), time.monotonic()
            try:
                answer = await person.get(path)
                self.read[kind].append([began - self.began, time.monotonic() - began, answer.status])
            finally:
                person.busy = False  # type: ignore[attr-defined]

        return look


async def pages(order: dict[str, Any]) -> dict[str, Any]:
    """The same pages again and again, by a few readers who don't pause: how long each takes, and how many a second."""
    address = (order["address"][0], order["address"][1])
    rng = random.Random(order["seed"])  # noqa: S311 (the same load for the same seed)
    end = time.monotonic() + order["seconds"]
    took: list[float] = []
    wrong: list[int] = []

    async def reader(cookies: dict[str, str]) -> None:
        browser = Browser(address, cookies)
        while (began := time.monotonic()) < end:
            answer = await browser.get(rng.choice(order["paths"]))
            took.append(time.monotonic() - began)
            if answer.status != OK:
                wrong.append(answer.status)
        browser.close()

    cookies = {"plaza_session": order["session"]} if order.get("session") else {}
    await asyncio.gather(*(reader(cookies) for _ in range(order["readers"])))
    return {"took": took, "wrong": wrong, "seconds": order["seconds"]}


async def main() -> None:
    """Do what the first argument orders."""
    order = json.loads(sys.argv[1])
    done = await (Crowd(order).run() if order["do"] == "crowd" else pages(order))
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    uvloop.run(main())
