"""Users of plaza as a process of its own, so that it can live in the users' network.

It reads one JSON request a line on standard input and answers one JSON object a line:
`{"do": "journey" | "glance", "base": URL}` → `{"address": where it led, "steps": [[what, ms]]}`,
`{"do": "missing", "base": URL, "ids": [..]}` → `{"missing": [..], "unchecked": [..]}`,
`{"do": "seed" | "begin" | "recent" | "end", ..}` for the workload; `{"error": ..}` when it failed.
"""

from __future__ import annotations

import io
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import stamina
from PIL import Image

from resilience.adapters.delegation import nameservers
from resilience.adapters.plaza_client import Client, NotServed
from resilience.adapters.plaza_workload import OldSite, Workload, seed, take_down, user

WALKER, PASSWORD = "walker", "a-walk-through-the-plaza"
IN_LINE_S = 20.0
Request = dict[str, Any]
T = TypeVar("T")


def journey(request: Request) -> dict[str, Any]:
    """Log in, post, read it back, see a picture: one that was there before, where there is one."""
    client, walk = Client(request["base"], gate_pass=request.get("gate_pass"), root=request.get("root", "")), Walk()
    walk.step("log in", lambda: enter(client))
    posted = walk.step("post", lambda: client.post("Walking by: is everything where it was?"))
    back = walk.step("read back", lambda: client.read(posted["id"]))
    if back["content"] != posted["content"]:
        raise NotServed("read back", 200, "the post came back with another text")
    walk.step("see a picture", lambda: _see(client))
    return {"address": client.peer, "steps": walk.steps}


def glance(request: Request) -> dict[str, Any]:
    """Read the newest posts and see a picture, where there is one; write nothing."""
    client, walk = Client(request["base"]), Walk()
    seen = walk.step("read", lambda: client.timeline(only_media="true", limit=40))
    if pictures := [picture for status in seen for picture in status["media_attachments"]]:
        walk.step("see a picture", lambda: client.look(pictures[0]["url"]))
    return {"address": client.peer, "steps": walk.steps}


@dataclass
class Walk:
    """What was done, and how long it took."""

    steps: list[list[Any]] = field(default_factory=list)

    def step(self, what: str, act: Callable[[], T]) -> T:
        """Do it and note its milliseconds."""
        began = time.perf_counter()
        result = act()
        self.steps.append([what, round((time.perf_counter() - began) * 1000, 1)])
        return result


def enter(client: Client) -> None:
    """Log in as the walker, who registers the first time.

    A site that is lost right after that may bring back the sign-up without its account: the name is
    taken, nobody can log in by it, and the line moves in a moment; or not, while sign-ups are held: then
    the walker takes another name.
    """
    try:
        _enter(client, WALKER)
    except NotServed as error:
        if not _still_in_line(error):
            raise
        _enter(client, f"{WALKER}_{secrets.token_hex(4)}")


def _enter(client: Client, name: str) -> None:
    for attempt in stamina.retry_context(on=_still_in_line, attempts=None, timeout=IN_LINE_S, wait_max=1.0):
        with attempt:
            try:
                client.log_in(name, PASSWORD)
            except NotServed as error:
                if error.status not in {400, 401, 403}:
                    raise
                client.register(name, PASSWORD)


def _still_in_line(error: Exception) -> bool:
    return isinstance(error, NotServed) and error.status == httpx.codes.UNPROCESSABLE_ENTITY


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
    """Which of these statuses and people (@name) are gone (404), and which could not be looked for."""
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
    for written in ids:
        try:
            _find(client, written)
        except NotServed as error:
            (gone if error.status == httpx.codes.NOT_FOUND else unsure).append(written)
    return gone, unsure


def _find(client: Client, written: str) -> None:
    """Look for it; a person who was let in by the lost site may stand in line once more, and it moves in a moment."""
    within_s = IN_LINE_S if written.startswith("@") else 0.0
    for attempt in stamina.retry_context(on=_not_there, attempts=None if within_s else 1, timeout=within_s or None):
        with attempt:
            client.find(written)


def _not_there(error: Exception) -> bool:
    return isinstance(error, NotServed) and error.status == httpx.codes.NOT_FOUND


def main() -> None:
    """Answer requests until standard input ends."""
    workload, old_site = Workload(), OldSite()
    acts: dict[str, Callable[[Request], dict[str, Any]]] = {
        "journey": journey,
        "glance": glance,
        "missing": missing,
        "nameservers": lambda request: {"nameservers": list(nameservers(str(request["base"])))},
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
