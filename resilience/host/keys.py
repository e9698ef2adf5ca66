"""Runs on the host, from standard input of `python3 -`: puts the files of an epoch there, each in one move.

All of them or none: a host that was told of a newer epoch keeps what it has, for whoever would put these slept since
he looked his epoch up. Where they need room, what makes it is run first, and may refuse. Standard library only.
"""

from __future__ import annotations

import fcntl
import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any


def put(order: dict[str, Any]) -> None:
    """Put the files, and say so; or why not: {"in_shape": false}, {"newer": EPOCH, "by": FILE}."""
    sys.stdout.write(json.dumps(answer(order)) + "\n")


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """What came of it."""
    if "shape" in order and not in_shape(order["shape"]):
        return {"in_shape": False}
    door = os.open(order["lock"], os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(door, fcntl.LOCK_EX)  # until we end
    newest, by = max((told_by(path), path) for path in order["told"])
    if newest > order["epoch"]:
        return {"newer": newest, "by": by}
    if "first" in order and not made_room(order["first"]):
        sys.exit(1)  # it said why
    for file in order["files"]:
        write(file)
    return {"put": len(order["files"])}


def in_shape(meant: dict[str, str]) -> bool:
    """Whether the host is in the shape that is meant, and stands by."""
    marker = Path(meant["marker"])
    return marker.exists() and marker.read_text().strip() == meant["digest"] and Path(meant["standby"]).exists()


def made_room(script: str) -> bool:
    """Whether this went well; what it complains of is our complaint."""
    nothing = subprocess.DEVNULL
    return subprocess.run(["bash", "-c", script], stdin=nothing, stdout=nothing, check=False).returncode == 0


def told_by(path: str) -> int:
    """The epoch that a configuration of ours is of; 0 where there is none, or none yet: a move that was prepared has no nonce."""
    try:
        epoch = json.loads(Path(path).read_text())["epoch"]
        return int(epoch["number"]) if epoch["nonce"] else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def write(file: dict[str, str]) -> None:
    """In one move, with its owner and mode."""
    path = Path(file["path"])
    new = path.with_name(f".{path.name}.new")
    new.touch(mode=0o600)
    new.write_text(file["content"])
    os.chown(new, pwd.getpwnam(file["owner"]).pw_uid, grp.getgrnam(file["group"]).gr_gid)
    new.chmod(int(file["mode"], 8))
    new.replace(path)
