"""Real certificate authorities for tests: Debian's Caddy speaks ACME as a server, too."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resilience.lab.authorities import CONFIG, ROOT, caddy, directory_url
from tests.plain_host import entered


@dataclass(frozen=True)
class Authority:
    """One that runs: where it is asked, and whom to trust for what it issues."""

    name: str
    directory: str
    root: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Gone, as a vendor is that leaves."""
        self.process.kill()
        self.process.wait()


@contextmanager
def authority(folder: Path, name: str, at: tuple[str, int], hosts: str, space: str) -> Iterator[Authority]:
    """Run one in a network namespace, with names of its own (`hosts`), until the block ends."""
    program, mine = caddy(folder), folder / name
    mine.mkdir()
    (mine / "hosts").write_text(hosts)
    (mine / "Caddyfile").write_text(CONFIG.format(folder=mine, name=name, address=at[0], port=at[1]))
    run = [str(program), "run", "--config", str(mine / "Caddyfile"), "--adapter", "caddyfile"]
    named = ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" /etc/hosts; shift; exec "$@"', "sh"]
    argv = ["nsenter", f"--net=/run/netns/{space}", *named, str(mine / "hosts"), *run]
    with (mine / "log").open("wb") as log:
        process = subprocess.Popen(argv, env={**os.environ, "HOME": str(mine)}, stdout=log, stderr=log)
    root = mine / ROOT
    try:
        _answers(space, at, process, mine / "log")
        yield Authority(name, directory_url(*at), root.read_text(), process)
    finally:
        process.kill()
        process.wait()


def _answers(space: str, at: tuple[str, int], process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when it listens; fail with its log when it ends first."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            with entered(space), socket.create_connection(at, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(log.read_text()[-2000:])
