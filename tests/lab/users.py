"""Users of a lab's app who write all the time, as a drill's do, whatever the operator does meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resilience.adapters.plaza import Users
from resilience.lab import Lab, places
from resilience.lab.material import prepare_material

JOINING = """
from resilience.adapters.plaza_client import Client
from resilience.adapters.plaza_workload import CROWD, user
for number in range(CROWD):
    Client("http://plaza.test").register(*user(number))
"""
SSH = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


def join(lab: Lab) -> None:
    """Let the drill's users sign up."""
    prepare_material(lab.directory / "material", "small")
    as_users(lab, JOINING)


@contextmanager
def writing(lab: Lab) -> Iterator[Users]:
    """The drill's users, who joined before, write from here on; never what they wrote another time."""
    material = lab.directory / "material"
    users = Users(places.NAME, lab.popen_as_users, material / "texts", material / "pictures")
    users.begin(seed=time.time_ns(), newcomers=1)
    try:
        yield users
    finally:
        users.close()


def lost_of(users: Users) -> tuple[list[dict[str, Any]], list[str]]:
    """Let them end: what they were told is kept, and what of it is missing now; each write was looked for."""
    writes, _ = users.end()
    missing, unchecked = users.missing([str(write["id"]) for write in writes])
    assert unchecked == []
    return writes, missing


def as_users(lab: Lab, program: str, *words: str) -> str:
    """What a Python program says that runs where users are."""
    argv = [sys.executable, "-c", program, *words]
    asked = lab.popen_as_users(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = asked.communicate(timeout=300)
    assert asked.returncode == 0, err
    return str(out)


def on_host(lab: Lab, address: str, command: str) -> str:
    """What a command says on a host, typed by whoever has the kit."""
    argv = [*SSH, "-i", str(lab.directory / "kit/ssh_ed25519"), f"root@{address}", command]
    asked = lab.popen_as_users(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = asked.communicate(timeout=120)
    assert asked.returncode == 0, err
    return str(out)


def appoint(lab: Lab, address: str, name: str) -> None:
    """Make somebody a moderator, by the line of docs/first-day.md."""
    plaza = f"runuser -u plaza -- /opt/resilience/env/bin/python3 -m resilience.plaza make-moderator {name}"
    on_host(
        lab, address, f"set -a; . /etc/resilience/app.env; set +a; cd /; PYTHONPATH=/opt/resilience/src exec {plaza}"
    )
