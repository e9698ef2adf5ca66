"""Runs on the host, from standard input of `python3 -`: fetches supplies and installs them.

Standard library only, and one file, because a plain Debian host has nothing else yet. Two phases:
`unpack` downloads all files at once, each from the first vault that gives it whole and is not slow, and
unpacks each as soon as it is there; `configure` lets dpkg finish. In between, the operator's side has
made users and files. What is there already is not fetched again; a finished host answers at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HOME = Path("/opt/resilience")
STORE = Path("/var/cache/resilience-supplies")
MARKER = HOME / "supplies.json"
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# resilience: nothing starts while packages are set up\nexit 101\n"
DPKG_LOCK = Path("/var/lib/dpkg/lock-frontend")
TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer")
PATIENCE_S = 10.0
LEAST = 5 << 20
"""Bytes that must come within that time, of all files that come together: whoever gives less than his share is passed over."""
PASSED_OVER = "passed-over"
"""Beside the supplies: vaults that come last, in the next run, too."""
BLOCK = 1 << 18


class Failed(Exception):
    """Supplies could not be installed; says why."""


class Refused(Exception):
    """A vault's answer is not the file; says in what."""


class Slow(Exception):
    """A vault gives less than it must; says how much it was."""

    def __init__(self, download: Download, lately: int, seconds: float) -> None:
        came = f"{lately} bytes" if download.got else "nothing"
        super().__init__(f"{came} came in {seconds:.3g} s")
        self.rate, self.silent = lately / max(seconds, 0.001), not download.got


class Line:
    """What comes into this host: files that come together share it, and with it the least that must come."""

    def __init__(self, files: int) -> None:
        self._coming, self._lock = files, threading.Lock()

    def share(self) -> float:
        """The least of one file, of those that still come."""
        return LEAST / self._coming

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """One of them, until it is there or nobody gave it."""
        try:
            yield
        finally:
            with self._lock:
                self._coming -= 1


def run(job: dict[str, Any]) -> None:
    """Carry out one phase and print what it did, or why it could not, as JSON."""
    began = time.monotonic()
    threading.Thread(target=end_with_the_caller, daemon=True).start()
    fcntl.flock(door(), fcntl.LOCK_EX)
    try:
        answer = {"unpack": unpack, "configure": configure}[job["phase"]](job)
    except (Failed, OSError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    answer["seconds"] = round(time.monotonic() - began, 2)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.exit(1 if "error" in answer else 0)


def end_with_the_caller() -> None:
    """End at once when nobody is there any more to read what we print: whoever runs us again need not wait for us."""
    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)
    reader.poll()
    os._exit(1)


@functools.cache
def door() -> int:
    """Locked by whoever installs: by us, and by programs we started that outlive us when we are killed."""
    return os.open("/run", os.O_RDONLY | os.O_DIRECTORY)


def unpack(job: dict[str, Any]) -> dict[str, Any]:
    """Fetch and unpack what is not there yet; dpkg works while the rest still arrives."""
    if finished(job):
        return {"digest": job["digest"], "already": True}
    there = installed().get("parts", {})
    missing = [file for file in job["files"] if there.get(file["name"]) != file["sha256"]]
    STORE.mkdir(parents=True, exist_ok=True)
    HOME.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + job["within_s"]
    line = Line(len(missing))
    with ThreadPoolExecutor(max(1, len(missing))) as pool:
        parts = list(pool.map(lambda file: bring(file, until, line), missing))
    remember({"parts": {file["name"]: file["sha256"] for file in job["files"]}})
    return {"digest": job["digest"], "already": False, "parts": {part["name"]: part for part in parts}}


def configure(job: dict[str, Any]) -> dict[str, Any]:
    """Let dpkg finish; then remember that all is done."""
    if finished(job):
        return {"digest": job["digest"], "already": True}
    dpkg("--configure", "--pending")
    command("systemctl", "--quiet", "disable", "caddy.service")
    shutil.rmtree(STORE, ignore_errors=True)
    remember({**installed(), "digest": job["digest"]})
    return {"digest": job["digest"], "already": False}


def finished(job: dict[str, Any]) -> bool:
    """Whether exactly these supplies are installed, to the end."""
    return bool(installed().get("digest") == job["digest"])


def installed() -> dict[str, Any]:
    """What was installed here: sha256 of each part, and the digest of all once dpkg had finished."""
    try:
        found: dict[str, Any] = json.loads(MARKER.read_text())
    except (OSError, ValueError):
        return {}
    return found


def remember(what: dict[str, Any]) -> None:
    """Write it down in one move."""
    new = MARKER.with_suffix(".new")
    new.write_text(json.dumps(what))
    new.replace(MARKER)


def bring(file: dict[str, Any], until: float, line: Line) -> dict[str, Any]:
    """Fetch one file before that moment, and install it in its way."""
    began = time.monotonic()
    path = STORE / file["name"]
    with line.one():
        source, refused = fetch(file, path, until, line)
    fetched = time.monotonic()
    {"debs.tar": packages, "restic": program}.get(file["name"], tree)(path)
    return {
        "name": file["name"],
        "source": source,
        "refused": refused,
        "bytes": path.stat().st_size,
        "fetch_s": round(fetched - began, 2),
        "install_s": round(time.monotonic() - fetched, 2),
    }


def fetch(file: dict[str, Any], path: Path, until: float, line: Line) -> tuple[str, list[str]]:
    """The file whole and unaltered, from the first source that has it so; who failed is named.

    Who is slow is passed over, and where nobody else has it asked again, the quickest first and each time with twice the
    patience: so who is slow but honest gives it in the end, and who drags it out costs no more time than that takes.
    """
    if path.exists() and digest(path) == file["sha256"]:
        return "here", []
    why: dict[str, str] = {}
    asked, patience = file["sources"], PATIENCE_S
    while asked and time.monotonic() < until:
        slow: list[tuple[float, dict[str, Any]]] = []
        for source in in_turn(asked, path.parent):
            vault = str(source["vault"])
            try:
                Download(source, file, path).take(patience, until, line)
            except Slow as error:
                why[vault] = str(error)
                if not error.silent or patience == PATIENCE_S:
                    slow.append((error.rate, source))
            except Exception as error:  # noqa: BLE001 - whatever it answers, the others go on
                why[vault] = (str(error) or type(error).__name__)[:300]
            else:
                return vault, told(why)
            pass_over(vault, path.parent)
        asked = [source for _, source in sorted(slow, key=lambda one: -one[0])]
        patience *= 2
    late = " in time" if asked else ""
    raise Failed(f"no vault gave {file['name']} whole{late}: " + "; ".join(told(why) or ["no vault was named"]))


def told(why: dict[str, str]) -> list[str]:
    """Each vault with what was the matter."""
    return [f"{vault}: {words}" for vault, words in why.items()]


def pass_over(vault: str, folder: Path) -> None:
    """From now on it comes last, also in the next run."""
    with (folder / PASSED_OVER).open("a") as file:
        file.write(f"{vault}\n")


def in_turn(sources: list[dict[str, Any]], folder: Path) -> Iterator[dict[str, Any]]:
    """These, each once; which is the next is seen when it is its turn, for other files are fetched at the same time."""
    left = list(sources)
    while left:
        over = (folder / PASSED_OVER).read_text().split("\n") if (folder / PASSED_OVER).exists() else []
        left.sort(key=lambda source: source["vault"] in over)
        yield left.pop(0)


class Download(threading.Thread):
    """One source's answer, written to a file by a thread that is left behind where it takes too long, whatever it is waiting for."""

    def __init__(self, source: dict[str, Any], file: dict[str, Any], path: Path) -> None:
        super().__init__(daemon=True)
        self.got, self.left = 0, False
        self.error: Exception | None = None
        self._request = urllib.request.Request(source["url"], headers=source.get("headers", {}))  # noqa: S310
        self._size, self._sha256, self._seen = file["bytes"], file["sha256"], hashlib.sha256()
        path.unlink(missing_ok=True)  # whoever was left behind still writes into his own
        self._file = path.open("xb")

    def take(self, patience: float, until: float, line: Line) -> None:
        """Return once it is all there; Slow where too little came within the patience, Refused where it is something else."""
        self._timeout = 2 * patience
        self.start()
        while self.is_alive():
            before, since, least = self.got, time.monotonic(), line.share()
            self.join(max(0.0, min(patience, until - since)))
            lately = self.got - before
            if self.is_alive() and (lately < least or time.monotonic() >= until):
                self.left = True
                raise Slow(self, lately, time.monotonic() - since)
        if self.error is not None:
            raise self.error
        if self.got < self._size:
            raise Refused(f"it gave {self.got} of {self._size} bytes")
        if (found := self._seen.hexdigest()) != self._sha256:
            raise Refused(f"what it holds is altered (sha256 {found[:12]}…)")

    def run(self) -> None:
        """Write what comes, and no more than the file has."""
        try:
            with self._file as file, urllib.request.urlopen(self._request, timeout=self._timeout) as answer:  # noqa: S310
                while not self.left and (block := answer.read1(min(BLOCK, self._size - self.got))):
                    self._seen.update(block)
                    file.write(block)
                    self.got += len(block)
        except Exception as error:  # noqa: BLE001 - raised by whoever waits
            self.error = error


def digest(path: Path) -> str:
    """A file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packages(path: Path) -> None:
    """Unpack all Debian packages in one call; `configure` finishes them."""
    folder = STORE / "debs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    command("tar", "-xf", str(path), "-C", str(folder))
    command("systemctl", "--quiet", "stop", *TIMERS, fails=True)
    dpkg("--unpack", *sorted(map(str, folder.glob("*.deb"))))


def dpkg(*arguments: str) -> None:
    """Run dpkg, waiting for anybody else's to end. No service starts, conffiles that are there stay."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "DPKG_FRONTEND_LOCKED": "1", "LC_ALL": "C.UTF-8"}
    with DPKG_LOCK.open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        POLICY.write_text(POLICY_TEXT)
        POLICY.chmod(0o755)
        try:
            command("dpkg", "--force-unsafe-io", "--force-confdef", "--force-confold", *arguments, env=env)
        finally:
            POLICY.unlink()


def program(path: Path) -> None:
    """One program, replaced in one move."""
    place(path, HOME / "bin" / path.name, lambda new: (shutil.copyfile(path, new), new.chmod(0o755)))


def tree(path: Path) -> None:
    """A folder from a tar file, replaced as a whole."""

    def extract(new: Path) -> None:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        command("tar", "-xzf", str(path), "-C", str(new), "--no-same-owner")

    place(path, HOME / path.name.split(".")[0], extract)


def place(path: Path, final: Path, make: Any) -> None:
    """Make something beside its place, then move it there."""
    final.parent.mkdir(parents=True, exist_ok=True)
    new = final.with_name(f".{path.name}.new")
    make(new)
    if final.is_dir():
        shutil.rmtree(final)
    new.replace(final)


def command(*argv: str, env: dict[str, str] | None = None, fails: bool = False) -> None:
    """Run a program; its last words when it fails."""
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, pass_fds=(door(),))
    if done.returncode and not fails:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-800:]
        raise Failed(f"{' '.join(argv[:4])} ended with {done.returncode}: {words}")
