"""Settings: which of a site's own go on in a copy of it. None that names a program, a library or a file: a thief may have written it."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import structlog

from resilience.replication import writes

SETTING = re.compile(r"\s*(\w+)\s*=?\s*('(?:[^'\\\x00-\x1f]|'')*'|[\w.+-]+)\s*", re.ASCII)
"""One line of `postgresql.auto.conf`, as `ALTER SYSTEM` writes it."""
WORDS = frozenset({"synchronous_standby_names", "timezone", "datestyle", "search_path"})
"""Texts that name nothing which is run or read."""
OF_THE_PLACE = frozenset({"port", "ssl", "unix_socket_permissions", "archive_mode", *writes.OURS})
"""What another place, or another moment, has otherwise."""
log = structlog.get_logger()


def read(path: Path) -> str:
    """A file of settings; empty where there is none, or no plain file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError:
        if path.is_symlink():
            return ""
        raise
    with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
        return file.read() if stat.S_ISREG(os.fstat(handle).st_mode) else ""


def kept(program: Path, text: str) -> str:
    """Those of these settings that may go on: numbers, switches and words of a list, as Postgres itself says of each (in `program`'s folder)."""
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return ""
    harmless = _harmless(program)
    found = [SETTING.fullmatch(line) for line in lines]
    going_on = [match for match in found if match and match[1].lower() in harmless]
    names = {match[1].lower() if match else "what is no setting" for match in found if match not in going_on}
    if left_out := sorted(names - set(writes.OURS)):
        log.warning("settings of the copied site do not go on here", names=left_out)
    return "".join(f"{match[1]} = {match[2]}\n" for match in going_on)


def _harmless(program: Path) -> frozenset[str]:
    argv = [str(program / "postgres"), "--describe-config"]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in told.splitlines()]
    return frozenset({row[0].lower() for row in rows if row[3] != "STRING"} | WORDS) - OF_THE_PLACE
