"""Shape one host: supplies and files at the same time, then let dpkg finish."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from resilience.errors import Refused, ResilienceError
from resilience.host.spec import File, HostSpec

ROOT = Path(__file__).resolve().parent.parent.parent
MARKER = "/opt/resilience/shape"
"""Which shape a host was brought into, to the end."""
STANDBY = "/var/lib/resilience/wal/follow.json"
"""Is there on a host that follows."""
ETC, DATA = "/etc/resilience", "/var/lib/resilience"
"""Where all that is ours lies, but for programs."""
TOLD = (f"{ETC}/ship.json", "/run/resilience/follow.json")
"""Name the epoch that a host was told of, as a primary or as a standby."""
LAYOUT = "/etc/tmpfiles.d/resilience.conf"
FETCH_S = 3000.0
"""So long a host asks vaults that are slow, and then names them; what they are asked by lasts an hour."""
CONFIGURE_S = 300.0
UNPACK_S = FETCH_S + CONFIGURE_S
DEPLOY_S = 180.0


class NotShaped(ResilienceError):
    """A host could not be brought into shape; every part of it may be repeated."""


@dataclass(frozen=True)
class Keys:
    """Files that belong to one site and epoch: another epoch changes them."""

    site: str
    epoch: int
    """The newest there was when they were made: a host that was told of a newer one is not given them."""
    files: Sequence[File]


class Login(Protocol):
    """How to get into a host."""

    @property
    def address(self) -> str:
        """Its address."""

    @property
    def user(self) -> str:
        """Whom we are there."""

    @property
    def port(self) -> int:
        """Where its sshd listens."""

    @property
    def key_file(self) -> Path:
        """Our private key."""

    def known_host(self) -> str:
        """Its line in a known_hosts file."""


class Result(Protocol):
    """What a command left."""

    @property
    def exit(self) -> int:
        """Its exit status."""

    @property
    def out(self) -> str:
        """Its standard output."""

    @property
    def err(self) -> str:
        """Its standard error."""


class Shell(Protocol):
    """A host on which commands can be run."""

    def run(self, command: str, *, stdin: bytes | None = None, timeout: float = 60) -> Result:
        """Run one command line."""


def shape_host(
    login: Login, shell: Shell, spec: HostSpec, supplies: Mapping[str, Any], keys: Keys
) -> Mapping[str, Any]:
    """Bring a host into shape from supplies alone; repeating it changes nothing. Returns what it took.

    `supplies` is {digest, files: [{name, sha256, bytes, sources: [{vault, url, headers}]}]}.
    """
    began = time.monotonic()
    digest = _digest(spec, supplies)
    with ThreadPoolExecutor(2) as pool:
        unpacking = pool.submit(_fetch, login, shell, {**supplies, "phase": "unpack", "within_s": FETCH_S}, UNPACK_S)
        deploying = pool.submit(_deploy, login, spec.without(keys.files))
        unpacked, deployed = unpacking.result(), deploying.result()
    put_keys(shell, keys)
    finish = {"phase": "configure", "digest": supplies["digest"]}
    configured = _fetch(login, shell, finish, CONFIGURE_S)
    shell.run(f"echo {digest} > {MARKER}")
    seconds = round(time.monotonic() - began, 2)
    return {"seconds": seconds, "supplies": unpacked, "files": deployed, "configure": configured}


def hand_over(shell: Shell, spec: HostSpec, supplies: Mapping[str, Any], keys: Keys) -> bool:
    """Give a standby that is in shape the keys of its epoch, and touch nothing else; False where it is not in shape."""
    shape = {"marker": MARKER, "standby": STANDBY, "digest": _digest(spec, supplies)}
    return "put" in _put(shell, keys, shape=shape)


def put_keys(shell: Shell, keys: Keys) -> None:
    """Give a host files of its epoch; Refused, and none is put, where it was told of a newer one."""
    if "error" in (done := _put(shell, keys)):
        raise _not_shaped(keys.site, "keys and settings", done["error"])


def take_up(shell: Shell, keys: Keys, first: str) -> None:
    """Give a host that is to follow its keys, after what makes room for them; Refused, and nothing is touched, where it was told of a newer epoch."""
    if "error" in (done := _put(shell, keys, first=first)):
        raise ResilienceError(f"{keys.site} can't follow.", done["error"], "See to it, then run this again.")


def overtaken(left: str, told: int, by: str, epoch: int) -> Refused:
    """What was left as it is since a host was told, `by` a file of its own, of a newer epoch than this one.

    The host can't tell whether that one is in any vault; where none has it any more a person must know what became of it.
    """
    return Refused(
        f"{left}: it was told of epoch {told}, and this plan is of epoch {epoch}.",
        "Another operator or command went on since this plan was made, or no vault that answers has that epoch any more.",
        f"Run `resilience status`. Where a vault shows epoch {told}, plan again. Where none does, and none that had it comes back, "
        f"what was written under it is on that host alone: if nothing was, or it is not needed, type `rm {by}` there and run this again.",
    )


def _put(shell: Shell, keys: Keys, **more: object) -> dict[str, Any]:
    """Run `keys.py` on the host. Secrets travel on standard input, and the end of its complaint holds none."""
    script = (files("resilience.host") / "keys.py").read_text()
    order = {"lock": ETC, "told": TOLD, "epoch": keys.epoch, "files": [asdict(file) for file in keys.files], **more}
    done = shell.run("python3 -", stdin=f"{script}\nput(json.loads({json.dumps(order)!r}))\n".encode(), timeout=60)
    lines = done.out.strip().splitlines()
    if done.exit or not lines:
        return {"error": (done.err.strip().splitlines() or ["It said nothing."])[-1]}
    told: dict[str, Any] = json.loads(lines[-1])
    if "newer" in told:
        raise overtaken(f"{keys.site} keeps the keys it has", told["newer"], told["by"], keys.epoch)
    return told


def open_disk(shell: Shell, key: bytes) -> Mapping[str, Any]:
    """Hand over the key of what is ours on the host's disk; the folders are made where there are none."""
    script = (files("resilience.host") / "disk.py").read_text()
    order = {"key": key.hex(), "folders": [ETC, DATA], "layout": LAYOUT}
    done = shell.run(
        "python3 -", stdin=f"{script}\nopen_folders(json.loads({json.dumps(order)!r}))\n".encode(), timeout=60
    )
    lines = done.out.strip().splitlines()
    told: dict[str, Any] = json.loads(lines[-1]) if done.exit == 0 and lines else {"refused": done.err.strip()[-500:]}
    if "refused" in told:
        raise NotShaped(
            "The host's disk could not be opened.",
            str(told["refused"]),
            "A host that was made without `disk_key` is made anew: `resilience down SITE`, then `resilience up SITE`. "
            "Where its file system is not ext4, leave `disk_key` out.",
        )
    return told


def is_locked(shell: Shell) -> bool:
    """Whether what is ours is there and waits for its key: its names can't be read."""
    return shell.run(f"test -d {DATA} && ! test -d {DATA}/pg", timeout=30).exit == 0


def _digest(spec: HostSpec, supplies: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{spec.digest} {supplies['digest']}".encode()).hexdigest()


def _fetch(login: Login, shell: Shell, job: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """Run one phase of `fetch.py` on the host. Addresses and tokens travel on standard input only."""
    script = (files("resilience.host") / "fetch.py").read_text()
    stream = f"{script}\nrun(json.loads({json.dumps(job)!r}))\n"
    result = shell.run("python3 -", stdin=stream.encode(), timeout=timeout)
    return _answer(login, f"supplies ({job['phase']})", result.out, result.err)


def _deploy(login: Login, spec: HostSpec) -> dict[str, Any]:
    """Run `deploy.py`, which is pyinfra's, in a process of its own."""
    order = {
        "login": {
            "address": login.address,
            "port": login.port,
            "user": login.user,
            "key_file": str(login.key_file),
            "known_host": login.known_host(),
        },
        "spec": spec.to_json(),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "resilience.host.deploy"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=DEPLOY_S,
            check=False,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    except subprocess.TimeoutExpired as error:
        raise _not_shaped(login.address, "users, files and units", f"no end after {DEPLOY_S:.0f} s") from error
    return _answer(login, "users, files and units", done.stdout, done.stderr)


def _answer(login: Login, part: str, out: str, err: str) -> dict[str, Any]:
    """The JSON a part answered with; NotShaped where it failed or said nothing."""
    lines = out.strip().splitlines()
    try:
        answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    except ValueError:
        answer = {}
    if not answer or "error" in answer:
        said = "\n".join(filter(None, [str(answer.get("error", "")), err.strip()[-1500:]]))
        raise _not_shaped(login.address, part, said or "It said nothing.")
    return answer


def _not_shaped(host: str, part: str, why: str) -> NotShaped:
    return NotShaped(
        f"{host}: the host is not in shape: {part}",
        why,
        "Mend what it names, then run the same command again: what is done is not done twice.",
    )
