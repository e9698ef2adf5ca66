"""The real proxy in front of a plaza: Caddy from the supplies, with the file that hosts have."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx

from resilience import caches
from tests.plaza.harness import ROOT, free_port, wait_until

FILES = ROOT / "resilience/host/files"


@cache
def caddy() -> Path:
    """The program, out of the package that hosts are set up from; unpacked once, for as long as this process runs."""
    folder = Path(tempfile.mkdtemp(prefix="plaza-proxy-"))
    atexit.register(shutil.rmtree, folder)
    debs = str(caches.supplies() / "debs.tar")
    subprocess.run(["tar", "-xf", debs, "-C", str(folder), "--wildcards", "./caddy_*"], check=True)
    [package] = folder.glob("caddy_*")
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "root")], check=True)
    return folder / "root/usr/bin/caddy"


def caddyfile(port: int, app: int) -> str:
    """Hosts' own configuration, for other ports; without the gate, which is the operator's."""
    admission = (FILES / "admission.caddy").read_text()
    site = "{\n\tadmin off\n\tauto_https off\n}\n" + f":{port} {{\n{admission}\n\treverse_proxy 127.0.0.1:8000\n}}\n"
    return site.replace("127.0.0.1:8000", f"127.0.0.1:{app}")


@contextmanager
def proxied(folder: Path, app: int, port: int | None = None) -> Iterator[str]:
    """A proxy in front of the app's port; its address."""
    port = port or free_port()
    (folder / "Caddyfile").write_text(caddyfile(port, app))
    command = [str(caddy()), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    env = {**os.environ, "HOME": str(folder)}
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(base), (folder / "caddy.log").read_text)
        yield base
    finally:
        process.terminate()
        process.wait(timeout=120)


def _answers(base: str) -> bool:
    try:
        httpx.get(base + "/healthz", timeout=30)
    except httpx.HTTPError:
        return False
    return True
