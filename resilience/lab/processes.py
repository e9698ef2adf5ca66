"""The lab's processes: started in a namespace and a control group, found again whatever happened."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resilience.errors import ResilienceError
from resilience.lab import places

GROUP = f"rsl{places.INSTANCE}"
"""The control group all processes of the lab are in, one below it for each."""
MARK = f"RSL_LAB_PROCESS{places.INSTANCE}"
"""Environment variable that names the lab's directory, in every process of the lab."""
_ENTER = 'for d in $RSL_GROUPS; do mkdir -p "$d" && echo $$ > "$d/cgroup.procs"; done; unset RSL_GROUPS; exec "$@"'
_OWN_TMP = """
set -e
cd "$1"
mkdir -p tmp
mount -t tmpfs tmpfs tmp
mkdir tmp/upper tmp/work
mount -t overlay -o "lowerdir=/tmp,upperdir=$1/tmp/upper,workdir=$1/tmp/work" tmp /tmp
shift
exec "$@"
"""
_INSTANCE = {"RESILIENCE_LAB_INSTANCE": places.INSTANCE}
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Home:
    """The mount namespace that the lab is made in: the one the command was started in."""

    mount: str = ""

    def prefix(self, space: str | None) -> list[str]:
        """Words before a command that make it run in this mount namespace and a network namespace."""
        words = [f"--mount={self.mount}"] if self.mount else []
        words += [f"--net=/run/netns/{space}"] if space else []
        return ["nsenter", *words, "--"] if words else []


@functools.cache
def group_roots() -> tuple[Path, ...]:
    """Where control groups of systemd's own hierarchies are mounted (one or both of v1 and v2)."""
    roots = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options):
            roots.append(Path(fields.split(" ")[4]))
    return tuple(roots)


def groups(name: str = "") -> list[Path]:
    """The control groups of one of the lab's processes, or of all of them."""
    return [root / GROUP / name if name else root / GROUP for root in group_roots()]


def start(
    directory: Path,
    name: str,
    argv: Sequence[str],
    *,
    home: Home,
    space: str | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Start one process of the lab, its output in `log/NAME.log`; its pid."""
    log = directory / "log" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = ["sh", "-c", _ENTER, "sh", *home.prefix(space), *argv]
    with log.open("ab") as output:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=marked(directory, name, env),
            start_new_session=True,
            cwd="/",
            pass_fds=inherited(home),
        )
    _children.append(child)
    return child.pid


def marked(directory: Path, name: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process of the lab."""
    code = str(Path(__file__).resolve().parents[2])
    paths = " ".join(str(path) for path in groups(name))
    return {**os.environ, "PYTHONPATH": code, **(env or {}), MARK: str(directory), "RSL_GROUPS": paths, **_INSTANCE}


def inherited(home: Home) -> tuple[int, ...]:
    """File descriptors a child needs so that it can enter `home`."""
    return (int(home.mount.rsplit("/", 1)[1]),) if home.mount.startswith("/proc/self/fd/") else ()


def grouped(argv: Sequence[str]) -> list[str]:
    """A command that first moves into its control groups (named by its environment)."""
    return ["sh", "-c", _ENTER, "sh", *argv]


def with_own_tmp(place: Path, argv: Sequence[str]) -> list[str]:
    """A command that starts in `place` and leaves nothing in /tmp; paths it writes to must be relative."""
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _OWN_TMP, "sh", str(place), *argv]


def python(module: str, *args: str) -> list[str]:
    """A command that runs one of our modules."""
    return [sys.executable, "-m", module, *args]


def members(name: str = "") -> set[int]:
    """Live processes in the control groups of one part of the lab, or of all of it."""
    found: set[int] = set()
    for group in groups(name):
        for part in _with_parts(group):
            with suppress(OSError, ValueError):
                found.update(int(pid) for pid in (part / "cgroup.procs").read_text().split())
    return {pid for pid in found if alive(pid)}


def _with_parts(group: Path) -> list[Path]:
    """A control group and those below it; a host's own system makes and removes them while one looks."""
    return [Path(folder) for folder, _, _ in os.walk(group)]


def alive(pid: int) -> bool:
    """Whether any thread of this process runs (one that ended and was not yet waited for does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return False
    return state not in {"Z", "X"} or threads > 1


def marked_processes() -> set[int]:
    """Live processes that carry the lab's mark in their environment."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if f"\0{MARK}=".encode() in b"\0" + (entry / "environ").read_bytes():
                    found.add(int(entry.name))
    return {pid for pid in found if alive(pid)}


def in_spaces(prefix: str) -> set[int]:
    """Live processes whose network namespace has a name with this prefix."""
    spaces = Path("/run/netns")
    inodes = set()
    for path in spaces.glob(f"{prefix}*"):
        with suppress(OSError):
            inodes.add(path.stat().st_ino)
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "ns/net").stat().st_ino in inodes:
                    found.add(int(entry.name))
    return {pid for pid in found if alive(pid)}


def family() -> set[int]:
    """This process and everything above it: what no clean-up may end."""
    pid, found = os.getpid(), set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found


def end(pids: set[int], wait_s: float = 60.0) -> set[int]:
    """SIGKILL these processes and wait until they are gone; those that are not."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return _wait_gone(pids, wait_s)


def end_group(name: str = "", wait_s: float = 60.0) -> set[int]:
    """SIGKILL everything in one part's control groups and remove them; returns pids that would not go."""
    deadline = time.monotonic() + wait_s
    spared = family()
    while True:
        left = members(name) - spared
        if not left or time.monotonic() > deadline:
            break
        end(left, wait_s=max(0.1, deadline - time.monotonic()))
    _remove_groups(name)
    return left


def _remove_groups(name: str) -> None:
    for group in groups(name):
        for path in sorted(_with_parts(group), reverse=True):
            with suppress(OSError):
                path.rmdir()


def _wait_gone(pids: set[int], wait_s: float) -> set[int]:
    deadline = time.monotonic() + wait_s
    left = set(pids)
    while left and time.monotonic() < deadline:
        reap()
        left = {pid for pid in left if alive(pid)}
        if left:
            time.sleep(0.02)
    return left


def reap() -> None:
    """Take note of own children that ended, so that none is left as a zombie."""
    _children[:] = [child for child in _children if child.poll() is None]


def run(argv: Sequence[str], *, space: str | None = None, home: Home | None = None, stdin: str = "") -> str:
    """Run a short command of the lab and return what it printed."""
    start_in = home or Home()
    words = [*start_in.prefix(space), *argv]
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, pass_fds=inherited(start_in))
    if done.returncode:
        raise ResilienceError(
            f"The lab could not run: {' '.join(words[:8])}",
            (done.stderr.strip() or f"it ended with status {done.returncode}")[-600:],
            "The lab needs root, network namespaces and the programs of scripts/bootstrap.",
        )
    return done.stdout


def require(programs: Sequence[str]) -> None:
    """Refuse clearly where a program that the lab is made with is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise ResilienceError(
            "The lab cannot be made here", f"Programs are missing: {', '.join(missing)}.", "Run scripts/bootstrap."
        )
