"""Brings a host into shape with pyinfra: groups, users, folders, files, units.

A program of its own (`python -m resilience.host.deploy`), because pyinfra brings gevent along.
It reads one JSON object on standard input, {"login": …, "spec": …}, and answers with one on
standard output: {"operations", "changed", "seconds"} or {"error"}.
"""

from __future__ import annotations

import io
import json
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.operations import files, server, systemd

from resilience.host.spec import MASKS, File, HostSpec

CONNECT_S = 5
MEMORY = 1 << 30
"""Bytes, of which a quarter is used: pyinfra keeps what a host prints, and reads no more of it once there is no room."""
USERS = "/etc/sysusers.d/resilience.conf"
FOLDERS = "/etc/tmpfiles.d/resilience.conf"


def main() -> int:
    """Read the order, carry it out, answer."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    order = json.load(sys.stdin)
    try:
        answer = deploy(order["login"], HostSpec.from_json(order["spec"]))
    except PyinfraError as error:
        answer = {"error": str(error) or type(error).__name__}
    print(json.dumps(answer))  # noqa: T201 - its answer to the process that started it
    return 1 if "error" in answer else 0


def deploy(login: Mapping[str, Any], spec: HostSpec) -> dict[str, Any]:
    """Make one host look as the spec says."""
    began = time.monotonic()
    with tempfile.NamedTemporaryFile("w", suffix=".known_hosts") as known:
        known.write(login["known_host"])
        known.flush()
        state = _connected(login, known.name)
    _describe(state, spec)
    run_ops(state)
    done = [operation.operation_meta for host in state.ops.values() for operation in host.values()]
    changed = sum(meta.did_change() for meta in done)
    disconnect_all(state)
    return {"operations": len(done), "changed": changed, "seconds": round(time.monotonic() - began, 2)}


def _connected(login: Mapping[str, Any], known_hosts: str) -> State:
    """A state with a connection to the host, whose key must be the pinned one."""
    line = socket.create_connection((login["address"], login["port"]), timeout=CONNECT_S)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each command waits 40 ms for an ACK
    data = {
        "ssh_paramiko_connect_kwargs": {"sock": line},
        "ssh_hostname": login["address"],
        "ssh_port": login["port"],
        "ssh_user": login["user"],
        "ssh_key": login["key_file"],
        "ssh_known_hosts_file": known_hosts,
        "ssh_strict_host_key_checking": "yes",
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
        "ssh_config_file": "/dev/null",
    }
    inventory = Inventory(([(login["address"], data)], {}))  # type: ignore[no-untyped-call]
    config = Config(CONNECT_TIMEOUT=CONNECT_S, FAIL_PERCENT=0)  # type: ignore[no-untyped-call]
    state = State(inventory, config, check_for_changes=False)
    connect_all(state)
    return state


def _describe(state: State, spec: HostSpec) -> None:
    """All operations, in order: users and folders first, since files belong to them."""
    _put(state, File(USERS, spec.users))
    _put(state, File(FOLDERS, spec.folders))
    made = [f"systemd-sysusers {USERS}", f"systemd-tmpfiles --create {FOLDERS}", spec.removal]
    add_op(state, server.shell, commands=made)
    for file in spec.files:
        _put(state, file)
    for unit in spec.masked:
        add_op(state, files.link, path=f"{MASKS}/{unit}", target="/dev/null")
    add_op(state, systemd.daemon_reload)


def _put(state: State, file: File) -> None:
    """One file with its owner and mode."""
    content = io.StringIO(file.content)
    add_op(state, files.put, src=content, dest=file.path, user=file.owner, group=file.group, mode=file.mode)


if __name__ == "__main__":
    sys.exit(main())
