"""scripts/bench plaza: plaza behind its proxy on one core, with the load on the other.

Postgres, plaza and Caddy run in a network namespace, pinned to one core; people are in another namespace, pinned to
another core. Parts: `signups` (7 a second), `surge` (35 a second, then until the line is empty), `pages` (timelines and
posts by number of posts, and the bare framework's "hello" as the floor).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LOAD = Path(__file__).with_name("_plaza_load.py")
sys.path.insert(0, str(CHECKOUT))

from resilience import caches  # noqa: E402 (the checkout goes first)
from tests.plaza.harness import Postgres, Site, migrated, running_postgres, wait_until  # noqa: E402
from tests.plaza.proxy import proxied  # noqa: E402

HOST, PEOPLE = "198.19.0.1", "198.19.0.2"
INSIDERS = 20
OK = 200
SHORT = 0.2
"""Seconds within which a page should be there."""
PARTS = ("signups", "surge", "pages")
TURNS = 3


def main() -> int:
    """Make the two namespaces, and go on in the host's."""
    parser = argparse.ArgumentParser(prog="scripts/bench plaza", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="which, by comma (default: all)")
    parser.add_argument("--seconds", type=int, default=600, help="how long 7 sign-ups a second come (default 600)")
    parser.add_argument("--surge-seconds", type=int, default=60, help="how long 35 a second come (default 60)")
    parser.add_argument(
        "--page-seconds", type=int, default=6, help="how long each page is read, in three turns (default 6)"
    )
    parser.add_argument("--sizes", default="1000,100000,1000000", help="numbers of posts, by comma")
    parser.add_argument("--inside-s", type=float, default=10, help="pages a second that people inside read")
    parser.add_argument("--outside-s", type=float, default=5, help="pages a second that guests read")
    parser.add_argument("--first", action="store_true", help="go before everything else that runs on this machine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave {figure: number} there, after each part")
    parser.add_argument("--resume", action="store_true", help="with --json: what FILE has is not measured again")
    parser.add_argument("--spaces", help=argparse.SUPPRESS)
    args = parser.parse_args()
    caches.use_programs()
    if args.spaces is None:
        going: AbstractContextManager[list[str]] = _first() if args.first else nullcontext([])
        with _namespaces() as spaces, going as first:
            pinned = ["ip", "netns", "exec", f"{spaces}h", "taskset", "-c", "0", sys.executable, *sys.argv]
            return subprocess.run([*first, *pinned, "--spaces", spaces], check=False).returncode
    for name, value in Bench(args).run().items():
        print(f"{name:44}{value:>12}")
    return 0


@contextmanager
def _first() -> Iterator[list[str]]:
    """What to put before a command: the cores are its when it wants them, also on a busy machine.

    One control group for all of it: each of Postgres' processes begins a session, which would be a scheduling group of its own
    at the usual weight, and hardly run beside a server that goes first.
    """
    root, weight = _cpu_groups()
    group = root / f"plaza-bench-{os.getpid()}"
    group.mkdir()
    try:
        (group / weight[0]).write_text(weight[1])
        yield ["nice", "-n", "-15", "sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', str(group)]
    finally:
        group.rmdir()


def _cpu_groups() -> tuple[Path, tuple[str, str]]:
    """Where control groups that share the processor are made, and how one gets the most of it (v1 or v2)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        place = Path(fields.split(" ")[4])
        if kind == "cgroup" and "cpu" in options.split(","):
            return place, ("cpu.shares", "262144")
        if kind == "cgroup2" and "cpu" in (place / "cgroup.subtree_control").read_text().split():
            return place, ("cpu.weight", "10000")
    raise SystemExit("No control groups share the processor here.\nNext: leave --first out, and let nothing else run.")


@contextmanager
def _namespaces() -> Iterator[str]:
    """A host's and its people's, joined by a cable; both are gone in the end."""
    name = f"plaza{os.getpid()}"
    _ip(f"netns add {name}h")
    _ip(f"netns add {name}p")
    try:
        _ip(f"-n {name}h link add cable type veth peer name cable netns {name}p")
        for side, address in (("h", HOST), ("p", PEOPLE)):
            _ip(f"-n {name}{side} addr add {address}/30 dev cable")
            _ip(f"-n {name}{side} link set cable up")
            _ip(f"-n {name}{side} link set lo up")
        yield name
    finally:
        _ip(f"netns del {name}h")
        _ip(f"netns del {name}p")


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


def _settled(postgres: Postgres) -> None:
    """What loading left to do is done: everything is on the disk, and no table is being vacuumed."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as conn:
        conn.execute("CHECKPOINT")
        busy = "SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
        wait_until(lambda: conn.execute(busy).fetchone() is None, lambda: "autovacuum goes on", 120)


class Bench:
    """What is measured, in the host's namespace and on its core."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.figures: dict[str, float] = {}
        self.folder = Path()

    def run(self) -> dict[str, float]:
        """The parts that were asked for and are not known yet."""
        parts = set(self.args.parts.split(","))
        if self.args.resume and self.args.json and self.args.json.exists():
            self.figures = json.loads(self.args.json.read_text())
        crowds = {"signups": ("steady", 7.0, self.args.seconds), "surge": ("surge", 35.0, self.args.surge_seconds)}
        wanted = [crowd for part, crowd in crowds.items() if part in parts and not self._knows(crowd[0])]
        sizes = [int(size) for size in self.args.sizes.split(",")] if "pages" in parts else []
        with tempfile.TemporaryDirectory(prefix="plaza-bench-") as folder, running_postgres(durable=True) as postgres:
            self.folder = Path(folder)
            template = migrated(postgres)
            if wanted:
                with self._site(postgres, template, 2_000) as site:
                    for crowd in wanted:
                        self._signups(site, *crowd)
                        self._keep()
            if sizes and not self._knows("hello"):
                self._hello()
                self._keep()
            if unknown := [size for size in sizes if not self._knows(f"{size:,} posts")]:
                with ExitStack() as up:
                    sites = {
                        size: up.enter_context(self._site(postgres, template, size, 80 + number))
                        for number, size in enumerate(unknown)
                    }
                    self._pages(postgres, sites)
                self._keep()
        return self.figures

    def _knows(self, part: str) -> bool:
        return any(name.startswith(part) for name in self.figures)

    def _keep(self) -> None:
        """Leave what is known, so that another run goes on from here."""
        if self.args.json:
            self.args.json.write_text(json.dumps(self.figures, indent=2) + "\n")

    @contextmanager
    def _site(self, postgres: Postgres, template: str, posts: int, port: int = 80) -> Iterator[Site]:
        """Plaza with so many posts, behind the proxy."""
        site = Site(Path(tempfile.mkdtemp(dir=self.folder)), postgres, postgres.new_database(template))
        texts = self._texts()
        site.settings["ARGON2"] = "light"
        site.run(
            "bulk-load",
            "--users",
            str(max(100, min(posts // 50, 20_000))),
            "--posts",
            str(posts),
            "--texts",
            texts,
            within_s=900,
        )
        site.settings["ARGON2"] = "owasp"
        outbox = site.folder / "outbox/key"
        shutil.rmtree(outbox)  # a folder that was full is slow to look into, and a keeper looks often
        outbox.mkdir()
        try:
            site.start()
            with proxied(site.folder, site.port, port):
                yield site
        finally:
            site.end()

    @staticmethod
    def _texts() -> str:
        return str(next(caches.tools().rglob("games/fortunes/fortunes")))

    def _signups(self, site: Site, part: str, rate: float, seconds: int) -> None:
        """So many a second, while others read; then each of them is looked for."""
        before = site.sql("SELECT count(*) FROM accounts")[0][0]
        order = {
            "do": "crowd", "signups_s": rate, "seconds": seconds, "prefix": part, "seed": self.args.seed,
            "inside_s": self.args.inside_s, "outside_s": self.args.outside_s,
            "sessions": [self._session(site, number) for number in range(INSIDERS)], "paths": self._paths(site),
        }  # fmt: skip
        got = self._load(order)
        made = site.sql("SELECT count(*), count(DISTINCT lower(username)) FROM accounts")[0]
        here = {row[0] for row in site.sql("SELECT username FROM accounts WHERE username LIKE %s", part + "%")}
        told = {name for name, _ in got["inside"]}
        for kind in ("inside", "outside"):
            times = [took for _, took, status in got["read"][kind] if status == OK]
            self._times(f"{part}: pages, {kind}", times)
            self.figures[f"{part}: pages, {kind}, not served"] = len(got["read"][kind]) - len(times)
        self._times(f"{part}: told a place", got["placed"])
        [(admitted,)] = site.sql(
            "SELECT count(*) FROM accounts WHERE username LIKE %s AND created_at < %s::float8 * interval '1 second' + "
            "(SELECT min(created_at) FROM accounts WHERE username LIKE %s)",
            part + "%",
            seconds,
            part + "%",
        )
        self.figures |= {
            f"{part}: offered": int(rate * seconds),
            f"{part}: told a place": len(got["placed"]),
            f"{part}: asked to try again": got["turned_away"],
            f"{part}: let in and told so": len(told),
            f"{part}: let in a second, while they came": round(admitted / seconds, 2),
            f"{part}: all in after s": round(got["lasted_s"], 1),
            f"{part}: told and not there": len(told - here),
            f"{part}: accounts made": made[0] - before,
            f"{part}: names made twice": made[0] - made[1],
            f"{part}: lost": len(got["lost"]),
            f"{part}: problems": len(got["problems"]),
        }
        for line in (*got["lost"][:5], *got["problems"][:5]):
            print(f"  {line}", file=sys.stderr)

    def _pages(self, postgres: Postgres, sites: dict[int, Site]) -> None:
        """Each kind of page by itself, at each number of posts in turn: whatever else the machine does meets all of them."""
        _settled(postgres)
        orders = {
            (size, kind): self._order(paths, who, 80 + number)
            for number, (size, site) in enumerate(sites.items())
            for kind, (paths, who) in self._kinds(site).items()
        }
        took: dict[tuple[int, str], list[float]] = {which: [] for which in orders}
        turn_s = self.args.page_seconds / TURNS
        for order in orders.values():
            self._load({**order, "seconds": 1})
        for _ in range(TURNS):
            for (size, kind), order in sorted(orders.items(), key=lambda one: one[0][1]):
                got = self._load({**order, "seconds": turn_s})
                assert not got["wrong"], got["wrong"][:5]
                took[size, kind] += got["took"]
        for (size, kind), times in took.items():
            self._times(f"{size:,} posts: {kind}", times)
            self.figures[f"{size:,} posts: {kind}, a second"] = round(len(times) / self.args.page_seconds, 1)

    def _kinds(self, site: Site) -> dict[str, tuple[list[str], str]]:
        """Kinds of pages: where they are, and whose session asks."""
        [(middle,)] = site.sql("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id) FROM statuses")
        return {
            "public timeline": (["/public"], ""),
            "half-way down": ([f"/public?max_id={middle}"], ""),
            "home": (["/"], self._session(site, 1)),
            "posts": ([path for path in self._paths(site) if path.count("/") > 1], ""),
        }

    def _hello(self) -> None:
        """The bare framework on the same core, behind the same proxy: nothing we do can be quicker."""
        code = (
            "import uvicorn; from starlette.applications import Starlette; from starlette.routing import Route; "
            "from starlette.responses import PlainTextResponse as P\n"
            "async def hello(request): return P('hello')\n"
            "uvicorn.run(Starlette(routes=[Route('/', hello)]), port=8001, log_level='error', access_log=False)"
        )
        server = subprocess.Popen([sys.executable, "-c", code])
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            with proxied(folder, 8001, 80):
                self._load({**self._order(["/"], ""), "seconds": 1})
                got = self._load(self._order(["/"], ""))
        finally:
            server.terminate()
            server.wait(timeout=10)
        self._times("hello", got["took"])
        self.figures["hello, a second"] = round(len(got["took"]) / got["seconds"], 1)

    def _order(self, paths: list[str], session: str, port: int = 80) -> dict[str, Any]:
        what = {"do": "pages", "paths": paths, "session": session, "readers": 4, "address": [HOST, port]}
        return {**what, "seconds": self.args.page_seconds, "seed": self.args.seed}

    @staticmethod
    def _paths(site: Site) -> list[str]:
        found = site.sql(
            "SELECT a.username, s.id FROM statuses s JOIN accounts a ON a.id = s.account_id "
            "WHERE s.visibility = 'public' ORDER BY s.id DESC LIMIT 40"
        )
        return ["/", "/public", *(f"/@{name}/{post}" for name, post in found)]

    @staticmethod
    def _session(site: Site, number: int) -> str:
        """Somebody who is logged in already."""
        secret = f"bench-session-{number:04d}"
        site.sql(
            "INSERT INTO sessions (token_hash, account_id, expires_at) SELECT sha256(%s::bytea), id, now() + interval '1 day' "
            "FROM accounts WHERE username = %s ON CONFLICT DO NOTHING",
            secret.encode(),
            f"bulk{number:06d}",
        )
        return secret

    def _load(self, order: dict[str, Any]) -> dict[str, Any]:
        """Run the load in the people's namespace, on their core."""
        space = ["ip", "netns", "exec", f"{self.args.spaces}p", "taskset", "-c", "1"]
        command = [*space, sys.executable, str(LOAD), json.dumps({"address": [HOST, 80], **order})]
        began = time.monotonic()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        if order["do"] == "crowd":
            print(f"  {order['do']}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        got: dict[str, Any] = json.loads(done.stdout)
        return got

    def _times(self, what: str, seconds: list[float]) -> None:
        if len(seconds) < 2:  # noqa: PLR2004 (no quantiles of less)
            return
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        self.figures[f"{what}, p50 ms"] = round(cuts[49] * 1000, 1)
        self.figures[f"{what}, p95 ms"] = round(cuts[94] * 1000, 1)
        self.figures[f"{what}, p99 ms"] = round(cuts[98] * 1000, 1)
        within = sum(one <= SHORT for one in seconds) / len(seconds)
        self.figures[f"{what}, % within 200 ms"] = round(within * 100, 2)


if __name__ == "__main__":
    sys.exit(main())
