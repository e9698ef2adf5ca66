"""Users of plaza as a process of its own, so that it can live in the users' network.

It reads one JSON request a line on standard input and answers one JSON object a line:
`{"do": "journey", "base": URL}` → `{"address": where it led, "steps": [[what, ms]]}`,
`{"do": "missing", "base": URL, "ids": [..]}` → `{"missing": [..], "unchecked": [..]}`,
`{"do": "seed" | "begin" | "recent" | "end", ..}` for the workload; `{"error": ..}` when it failed.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from PIL import Image

from resilience.adapters.plaza_client import Client, NotServed
from resilience.adapters.plaza_workload import OldSite, Workload, seed, take_down, user

WALKER, PASSWORD = "walker", "a-walk-through-the-plaza"
Request = dict[str, Any]


def journey(request: Request) -> dict[str, Any]:
    """Log in, post, read it back, see a picture: one that was there before, where there is one."""
    client, steps = Client(request["base"]), []

    def timed(what: str, act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = act()
        steps.append([what, round((time.perf_counter() - began) * 1000, 1)])
        return result

    timed("log in", lambda: _enter(client))
    posted = timed("post", lambda: client.post("Walking by: is everything where it was?"))
    back = timed("read back", lambda: client.read(posted["id"]))
    if back["content"] != posted["content"]:
        raise NotServed("read back", 200, "the post came back with another text")
    timed("see a picture", lambda: _see(client))
    return {"address": client.peer, "steps": steps}


def _enter(client: Client) -> None:
    try:
        client.log_in(WALKER, PASSWORD)
    except NotServed as error:
        if error.status not in {400, 401, 403}:
            raise
        client.register(WALKER, PASSWORD)


def _see(client: Client) -> None:
    for status in client.timeline(only_media="true", limit=40):
        for picture in status["media_attachments"]:
            client.look(picture["url"])
            return
    up = client.upload(_picture(), "A plain square")
    client.post("The first picture here.", [up["id"]])
    client.look(up["url"])


def _picture() -> bytes:
    """A small picture, for an app in which nobody posted one yet."""
    drawn = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(drawn, "PNG")
    return drawn.getvalue()


def missing(request: Request) -> dict[str, Any]:
    """Which of these statuses are gone (404), and which could not be looked for."""
    parts = [request["ids"][i::6] for i in range(6)]
    with ThreadPoolExecutor(max_workers=6) as pool:
        found = list(pool.map(lambda ids: _look_for(request["base"], ids), parts))
    return {
        "missing": sorted(i for gone, _ in found for i in gone),
        "unchecked": sorted(i for _, unsure in found for i in unsure),
    }


def _look_for(base: str, ids: Iterable[str]) -> tuple[list[str], list[str]]:
    client = Client(base)
    gone: list[str] = []
    unsure: list[str] = []
    for status in ids:
        try:
            client.read(status)
        except NotServed as error:
            (gone if error.status == httpx.codes.NOT_FOUND else unsure).append(status)
    return gone, unsure


def main() -> None:
    """Answer requests until standard input ends."""
    workload, old_site = Workload(), OldSite()
    acts: dict[str, Callable[[Request], dict[str, Any]]] = {
        "journey": journey,
        "missing": missing,
        "seed": seed,
        "begin": workload.begin,
        "recent": workload.recent,
        "end": workload.end,
        "moderator": lambda _: {"account": user(0)[0]},
        "take-down": take_down,
        "try-old-site": old_site.begin,
        "end-old-site": old_site.end,
    }
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = acts[request["do"]](request)
        except NotServed as error:
            answer = {"error": str(error), "status": error.status}
        except Exception as error:  # noqa: BLE001 - the process answers, whatever happened
            answer = {"error": f"{type(error).__name__}: {error}", "status": -1}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
