"""A real SFTP box for tests: OpenSSH's sshd on loopback, for one account that gets SFTP and nothing else."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resilience import caches
from resilience.model import VaultSpec
from tests.plain_host import key_pair
from tests.vault_servers import free_ports

USER = "daemon"
SETTINGS = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/authorized
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAcceptedAlgorithms ssh-ed25519
MaxSessions 10
Subsystem sftp internal-sftp
DisableForwarding yes
"""


@dataclass(frozen=True)
class Box:
    """One box that runs: the folder below which its accounts write, and credentials by principal."""

    endpoint: str
    folder: Path
    credentials: Mapping[str, Mapping[str, str]]

    def spec(self, name: str) -> VaultSpec:
        """The mirror that a folder of its own makes."""
        return VaultSpec(name, name, "sftp", self.endpoint, str(self.folder / name), copies_only=True)


@contextmanager
def sftp_box() -> Iterator[Box]:
    """A box with two accounts: the operator's writes, the reader's does not."""
    user = pwd.getpwnam(USER)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="box-") as made:
        own = Path(made)
        own.chmod(0o755)
        (port,) = free_ports(1)
        host_key = key_pair(own / "host")
        logins = {"operator": key_pair(own / "operator"), "reader": key_pair(own / "reader")}
        only = 'command="internal-sftp -R" '
        (own / "authorized").write_text(f"{logins['operator']}\n{only}{logins['reader']}\n")
        (own / "sshd_config").write_text(SETTINGS.format(port=port, folder=own))
        os.chown(own / "host", user.pw_uid, user.pw_gid)
        (own / "vaults").mkdir()
        os.chown(own / "vaults", user.pw_uid, user.pw_gid)
        credentials = {
            name: {"user": USER, "private_key": (own / name).read_text(), "host_key": host_key} for name in logins
        }
        process = _start(own)
        try:
            _wait(process, port, own / "log")
            yield Box(f"sftp://127.0.0.1:{port}", own / "vaults", credentials)
        finally:
            process.terminate()
            process.wait()


def _start(own: Path) -> subprocess.Popen[bytes]:
    """As a user who may do nothing, so that it needs no account of its own on this machine."""
    root = caches.rootfs()
    for name in ("usr/sbin/sshd", *(str(p.relative_to(root)) for p in root.glob("usr/lib/*/libwrap.so.0"))):
        shutil.copy(root / name, own)
    argv = ["setpriv", f"--reuid={USER}", f"--regid={pwd.getpwnam(USER).pw_gid}", "--clear-groups"]
    argv += [str(own / "sshd"), "-D", "-e", "-f", str(own / "sshd_config")]
    with (own / "log").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=log, env={"LD_LIBRARY_PATH": str(own)}, cwd="/")


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text())
