"""A copy that `restore --into` left on this machine, looked at with a server of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg

from resilience import caches


def posts_in(folder: Path) -> set[int]:
    """The posts of the copy below this folder, which is started for that, and stopped."""
    own = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    control = [*own, str(caches.postgres() / "pg_ctl"), "-D", str(folder / "pg"), "-w"]
    run = folder / "run"
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": run,
        "hba_file": run / "hba.conf",
        "ident_file": "",
        "synchronous_standby_names": "",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    start = [*control, "-l", str(run / "looked-at.log"), "-o", options, "start"]
    subprocess.run(start, check=True, capture_output=True, cwd="/")
    try:
        with psycopg.connect(f"host={run} user=postgres dbname=plaza") as db:
            return {number for (number,) in db.execute("SELECT id FROM statuses").fetchall()}
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], check=True, capture_output=True, cwd="/")
