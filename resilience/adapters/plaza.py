"""Plaza behind the app port: on its host over SSH, from outside through a process of users."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import httpx
import stamina

from resilience.adapters.plaza_posts import post_id
from resilience.adapters.shells import Shells
from resilience.errors import ResilienceError
from resilience.model import Notice, SiteOutputs
from resilience.ports import Journey, TakenDown

AS_PLAZA = (
    "set -a; . /etc/resilience/app.env; set +a; cd /; "
    "PYTHONPATH=/opt/resilience/src exec runuser -u plaza -- "
    "/opt/resilience/env/bin/python3 -m resilience.plaza "
)
WHEN_TOLD = (
    "cd /; PYTHONPATH=/opt/resilience/src exec runuser -u plaza -- /opt/resilience/env/bin/python3 -m resilience.plaza "
    "--env-file /etc/resilience/app.env --when-told "
)
"""It loads what the command takes, and begins once a line comes: its settings need not be there before."""
LOADED = ("migrate", "replay-ledger", "facts")
"""Commands that stand between a promotion and users."""


BULK = {"medium": (10_000, 2_850_000)}
"""Users and posts that are loaded in bulk, by the size of a drill: medium is a database of 1 GB."""
SEED = "/var/tmp/seed"  # noqa: S108 - on a fresh host that is ours alone
LOAD_WITHIN_S = 1800.0
EVIDENCE = 512 << 20
"""Bytes in base64 of one letter's evidence: some hundred posts, each with four pictures."""
AT_ONCE = 1000
"""Posts in one command line: a host takes none that is longer than 128 KiB."""


class _NotYet(Exception):
    """The app is not ready yet."""


ROWS = """(SELECT m.* FROM (SELECT 'post'::text AS purpose, NULL::bigint AS ring) AS before
    CROSS JOIN LATERAL (SELECT id, sha256, purpose, ring FROM media) AS m) AS found"""
"""Plaza's rows of files, also of a database that is older than one of these columns: the inner name is then the outer one's."""
FIRST = f"""SELECT sha256 FROM {ROWS} WHERE purpose = 'keyring'
    UNION ALL SELECT sha256 FROM {ROWS} WHERE purpose = 'key' AND ring IS NULL UNION ALL
    (SELECT sha256 FROM {ROWS} WHERE purpose NOT IN ('keyring', 'key', 'lost key') ORDER BY id DESC LIMIT 200)"""  # noqa: S608 - nobody's words
"""Nobody is let in without keys; the newest pictures are on the pages that everybody looks at first."""
WANTED = f"""SELECT sha256 FROM {ROWS} WHERE purpose <> 'lost key' GROUP BY sha256 ORDER BY min(CASE
    WHEN purpose = 'keyring' OR purpose = 'key' AND ring IS NULL THEN 0 WHEN purpose = 'key' THEN 1 ELSE 2 END), max(id) DESC"""  # noqa: S608


@dataclass(frozen=True)
class PlazaOnHost:
    """The app port: plaza's own commands on the host, its readiness by address."""

    shell: Shells
    material: Path
    """Texts and pictures that a drill's seed is made of."""
    host: str
    """The public name, under which posts have their addresses."""

    @property
    def ready_path(self) -> str:
        """Plaza's own probe."""
        return "/readyz"

    @property
    def media_query(self) -> dict[str, Any]:
        """Where plaza's rows name their pictures: keyrings, keys in none and the newest pictures before anybody is let in."""
        return {
            "database": "plaza",
            "sql": WANTED,
            "first": FIRST,
            "newer": "SELECT id, sha256 FROM media WHERE id > %s ORDER BY id LIMIT %s",
            "margin": 30_000 << 16,  # thirty seconds, as plaza's ids count
        }

    @property
    def sign_up_paths(self) -> tuple[str, ...]:
        """The page, the client API's, and the link in a letter."""
        return ("/register", "/api/v1/accounts", "/confirm/*")

    def replay_ledger(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Bring the schema up to date and apply the ledger, with the app still closed."""
        self._plaza(outputs, "migrate")
        return self._plaza(outputs, "replay-ledger")

    def facts(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """What plaza says of its rows, pictures and takedowns."""
        return self._plaza(outputs, "facts")

    def appoint(self, outputs: SiteOutputs, account: str) -> None:
        """Make the account a moderator."""
        self._plaza(outputs, f"make-moderator {account}")

    def post_id(self, named: str) -> str | None:
        """Of whatever plaza of any version takes: its command line ends at all else."""
        return post_id(named, self.host)

    def take_down(self, outputs: SiteOutputs, posts: Sequence[str], reason: str) -> TakenDown:
        """Plaza's own ledger gets an entry for each that is still there."""
        ids = [found for named in posts if (found := self.post_id(named)) is not None]
        parts = [ids[begin : begin + AT_ONCE] for begin in range(0, len(ids), AT_ONCE)]
        lines = [shlex.join(["take-down", f"--reason={reason}", "--", *part]) for part in parts]
        count = sum(int(self._plaza(outputs, line)["taken_down"]) for line in lines)
        return TakenDown(count, tuple(named for named in posts if self.post_id(named) is None))

    def still_named(self, outputs: SiteOutputs, pictures: Sequence[str]) -> frozenset[str]:
        """Asked of plaza's rows, behind the same locks that uploads take."""
        return frozenset(self._plaza(outputs, "named-pictures", stdin="\n".join(pictures))["named"])

    def ship_again(self, outputs: SiteOutputs, pictures: Sequence[str]) -> int:
        """Plaza links them into the outbox."""
        return int(self._plaza(outputs, "ship-pictures", stdin="\n".join(pictures))["handed_over"])

    def queue(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """A moderator reads the queue through plaza's own API, on the host."""
        return self._plaza(outputs, "queue")

    def take_notice(self, outputs: SiteOutputs, notice: Notice, letter: str) -> Mapping[str, Any]:
        """Each post it names goes into the moderators' queue; the same letter again changes nothing."""
        shell, path = self.shell(outputs), f"/var/tmp/letter-{notice.sha256[:16]}"  # noqa: S108 - ours by its name
        due = datetime.fromtimestamp(notice.deadline_at, UTC).isoformat()
        words = ["--vendor", notice.vendor, "--reference", notice.reference, "--due", due, "--letter", path]
        shell.put(path, letter.encode(), 0o644)
        try:
            return self._plaza(outputs, shlex.join(["add-notice", *words, "--", *notice.posts]))
        finally:
            shell.check(f"rm -f {path}")

    def evidence(self, outputs: SiteOutputs, notice: Notice) -> bytes:
        """The zip that plaza signs with the ledger's key."""
        known = self._plaza(outputs, "show-notice")["notices"]
        numbers = [n["notice"] for n in known if (n["vendor"], n["reference"]) == (notice.vendor, notice.reference)]
        if not numbers:
            raise ResilienceError(
                f"{outputs.site} knows no notice {notice.reference} of {notice.vendor}.",
                "It was never put before the moderators there.",
                "Add the letter again: `resilience notice add FILE`.",
            )
        path = f"/var/tmp/evidence-{notice.sha256[:16]}.zip"  # noqa: S108 - ours by its name
        try:
            self._plaza(outputs, f"export-evidence {numbers[0]} --to {path}")
            return base64.b64decode(self.shell(outputs).check(f"base64 {path}", timeout=300, most=EVIDENCE))
        finally:
            self.shell(outputs).check(f"rm -f {path}")

    def fill(self, outputs: SiteOutputs, size: str, seed: int) -> Mapping[str, Any]:
        """Load in bulk what would take users hours: texts by the seed, pictures that were made ready."""
        if size not in BULK:
            return {}
        users, posts = BULK[size]
        shell = self.shell(outputs)
        tar = ["tar", "-C", f"{self.material}/.", "--owner=root", "--mode=a+rX", "-c", "."]
        packed = subprocess.run(tar, check=True, capture_output=True).stdout
        shell.check(f"install -d {SEED} && tar -C {SEED} -x", stdin=packed, timeout=600)
        load = f"bulk-load --users {users} --posts {posts} --seed {seed} --texts {SEED}/texts"
        try:
            return self._plaza(outputs, f"{load} --pictures {SEED}/pictures --as-they-are", LOAD_WITHIN_S)
        finally:
            shell.check(f"rm -rf {SEED}")

    def warm(self, outputs: SiteOutputs) -> None:
        """Start the commands that come next; each waits to be told."""
        for command in LOADED:
            self.shell.begin(outputs, WHEN_TOLD + command, LOAD_WITHIN_S)

    def begin(self, outputs: SiteOutputs) -> None:
        """Start plaza and its proxy, and do not wait; plaza opens itself once its ledger is applied."""
        self.shell(outputs).check("systemctl start --no-block caddy plaza")

    def _plaza(
        self, outputs: SiteOutputs, command: str, timeout: float = 300, stdin: str | None = None
    ) -> Mapping[str, Any]:
        if command in LOADED:
            done = self.shell.run(outputs, WHEN_TOLD + command, b"go\n", timeout)
        else:
            given = None if stdin is None else stdin.encode()
            done = self.shell(outputs).run(AS_PLAZA + command, timeout=timeout, stdin=given)
        if done.exit != 0:
            raise ResilienceError(
                f"`plaza {command}` failed on {outputs.site} with status {done.exit}.",
                done.complaint[-600:] or "It said nothing.",
                "Mend what it names, and run the same command again.",
            )
        last = done.out.strip().splitlines()[-1:] or ["{}"]
        return dict(json.loads(last[0]))

    def start(self, outputs: SiteOutputs) -> None:
        """Start plaza and its proxy; wait until it is ready by its address."""
        done = self.shell(outputs).run("systemctl start caddy plaza", timeout=90)
        if done.exit == 0 and self._ready(outputs):
            return
        log = self.shell(outputs).run("journalctl -u plaza -u caddy -n 20 --no-pager -o cat").out
        raise ResilienceError(
            f"Plaza is not ready on {outputs.site} after a minute.",
            log[-800:] or done.complaint,
            "Look at `journalctl -u plaza` on the host, and run the same command again.",
        )

    def _ready(self, outputs: SiteOutputs) -> bool:
        """Ask until it is ready, for at most a minute."""

        @stamina.retry(on=_NotYet, attempts=None, timeout=60.0, wait_initial=0.05, wait_max=0.2)
        def ask() -> None:
            if not self.serving(outputs):
                raise _NotYet

        try:
            ask()
        except _NotYet:
            return False
        return True

    def serving(self, outputs: SiteOutputs) -> bool:
        """Whether the site answers ready by its address, within two seconds."""
        try:
            with httpx.stream("GET", f"http://{outputs.addresses[0]}{self.ready_path}", timeout=2.0) as answer:
                return answer.is_success
        except httpx.HTTPError:
            return False


Popen = Callable[..., "subprocess.Popen[str]"]


@dataclass
class Users:
    """The ports Outside and Workload: one process of users, wherever `popen` puts it."""

    host: str
    popen: Popen
    texts: Path
    pictures: Path
    scheme: str = "http"
    _process: subprocess.Popen[str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _owed: int = 0
    """Answers that nobody has read yet: who asked was interrupted."""

    def journey(self, address: str | None = None, gate_pass: str | None = None, root: str = "") -> Journey:
        """Log in, post, read back, see a picture; by name, or at one address."""
        return self._walk("journey", address, gate_pass=gate_pass, root=root)

    def glance(self) -> Journey:
        """Read and see a picture, by name."""
        return self._walk("glance", None)

    def _walk(self, do: str, address: str | None, **how: str | None) -> Journey:
        answer = self._ask(do=do, base=f"{self.scheme}://{address or self.host}", **how)
        steps = tuple((str(what), float(ms)) for what, ms in answer["steps"])
        return Journey(str(answer["address"]), steps)

    def nameservers(self, host: str) -> tuple[str, ...]:
        """Asked where users are."""
        return tuple(str(server) for server in self._ask(do="nameservers", base=host)["nameservers"])

    def missing(self, writes: Iterable[str]) -> tuple[list[str], list[str]]:
        """Look for each acknowledged write by name."""
        answer = self._ask(do="missing", base=self._base, ids=list(writes))
        return list(answer["missing"]), list(answer["unchecked"])

    def seed(self, size: str, seed: int) -> Mapping[str, Any]:
        """Fill plaza through HTTP with real texts and pictures."""
        return self._ask(do="seed", base=self._base, size=size, seed=seed, **self._material)

    def begin(self, seed: int, newcomers: int) -> None:
        """Let users go on from now."""
        self._ask(do="begin", base=self._base, seed=seed, newcomers=newcomers, **self._material)

    def recent(self, seconds: float) -> int:
        """Writes acknowledged in the last seconds."""
        return int(self._ask(do="recent", seconds=seconds)["writes"])

    def moderator(self) -> str:
        """The first of the made-up users."""
        return str(self._ask(do="moderator")["account"])

    def take_down(self, count: int) -> list[str]:
        """Report and take down the oldest posts by HTTP."""
        return list(self._ask(do="take-down", base=self._base, count=count)["taken_down"])

    def try_old_site(self, address: str) -> None:
        """Keep writing at the old address."""
        self._ask(do="try-old-site", base=f"{self.scheme}://{address}")

    def end_old_site(self) -> tuple[int, list[str]]:
        """Attempts at the old address, and what it acknowledged."""
        answer = self._ask(do="end-old-site")
        return int(answer["attempts"]), list(answer["acknowledged"])

    def end(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """Stop the users; their acknowledged writes and requests."""
        answer = self._ask(do="end")
        return list(answer["writes"]), list(answer["requests"])

    @property
    def _base(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def _material(self) -> dict[str, str]:
        return {"texts": str(self.texts), "pictures": str(self.pictures)}

    def _last_owed(self, answers: IO[str]) -> str:
        line = ""
        while self._owed:
            line = answers.readline()
            self._owed -= 1
        return line

    def _ask(self, **request: Any) -> dict[str, Any]:
        with self._lock:
            process = self._started()
            assert process.stdin is not None and process.stdout is not None  # noqa: PT018
            try:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                self._owed += 1
                line = self._last_owed(process.stdout)
            except BrokenPipeError:
                line = ""
        if not line:
            raise ResilienceError(
                f"The users' process ended while it was asked to {request['do']}.",
                "It was killed, or broke; its last words are on standard error.",
                "Run the command again.",
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ResilienceError(
                f"Users could not get through: {answer['error']}",
                f"They tried to {request['do']} at {request.get('base', self.host)}.",
                "See `resilience status`: does the site serve, and where does the name point?",
            )
        return answer

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._owed = 0
            self._process = self.popen(
                [sys.executable, "-m", "resilience.adapters.plaza_users"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def close(self) -> None:
        """End the users' process."""
        if self._process is not None and self._process.poll() is None:
            with suppress(BrokenPipeError):
                assert self._process.stdin is not None
                self._process.stdin.close()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
