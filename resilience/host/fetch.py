"""Runs on the host, from standard input of `python3 -`: fetches supplies and installs them.

Standard library only, and one file, because a plain Debian host has nothing else yet. Two phases:
`unpack` downloads all files at once, each from the first vault that gives it whole, and unpacks
each as soon as it is there; `configure` lets dpkg finish. In between, the operator's side has
made users and files. What is there already is not fetched again; a finished host answers at once.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
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
READ_S = 10
BLOCK = 1 << 20


class Failed(Exception):
    """Supplies could not be installed; says why."""


def run(job: dict[str, Any]) -> None:
    """Carry out one phase and print what it did, or why it could not, as JSON."""
    began = time.monotonic()
    fcntl.flock(door(), fcntl.LOCK_EX)
    try:
        answer = {"unpack": unpack, "configure": configure}[job["phase"]](job)
    except (Failed, OSError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    answer["seconds"] = round(time.monotonic() - began, 2)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.exit(1 if "error" in answer else 0)


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
    with ThreadPoolExecutor(max(1, len(missing))) as pool:
        parts = list(pool.map(bring, missing))
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


def bring(file: dict[str, Any]) -> dict[str, Any]:
    """Fetch one file and install it in its way."""
    began = time.monotonic()
    path = STORE / file["name"]
    source, refused = fetch(file, path)
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


def fetch(file: dict[str, Any], path: Path) -> tuple[str, list[str]]:
    """The file whole and unaltered, from the first source that has it so; who failed is named."""
    if path.exists() and digest(path) == file["sha256"]:
        return "here", []
    refused: list[str] = []
    for source in file["sources"]:
        try:
            found = download(source, path)
        except OSError as error:
            refused.append(f"{source['vault']}: {error}")
            continue
        if found == file["sha256"]:
            return str(source["vault"]), refused
        refused.append(f"{source['vault']}: what it holds is altered (sha256 {found[:12]}…)")
    raise Failed(f"no vault gave {file['name']} whole: " + "; ".join(refused or ["no vault was named"]))


def download(source: dict[str, Any], path: Path) -> str:
    """Write what a vault's address answers to a file; its sha256 decides, whatever the address was."""
    request = urllib.request.Request(source["url"], headers=source.get("headers", {}))  # noqa: S310
    seen = hashlib.sha256()
    with urllib.request.urlopen(request, timeout=READ_S) as answer, path.open("wb") as file:  # noqa: S310
        while block := answer.read(BLOCK):
            seen.update(block)
            file.write(block)
    return seen.hexdigest()


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
