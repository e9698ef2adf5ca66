"""restic, through `sh`: one repository an epoch and vault, its password never on a command line."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import sh

from resilience.errors import MissingPart, Refused, VaultError
from resilience.replication import disk, layout
from resilience.replication.config import VaultConfig

VANISHED = "no such file or directory"
PARTIAL = 3
COUNTS = ("total_bytes", "files_restored", "bytes_restored")
"""In what restic says while it restores: one of them moves as long as anything comes."""
DIES_WITH_US = ("--pdeathsig", "KILL")
"""A restic whose caller was killed would go on writing over what the next one restores."""
STALE_S = 1800.0
"""restic renews its locks every five minutes, and takes one that is older than this for left behind."""


class Stalled(VaultError):
    """A vault gives nothing more, and says nothing of it."""


class Watch:
    """Looks whether a restore brings anything more, and ends it where it does not."""

    def __init__(self, patience: float | None) -> None:
        self.stalled = False
        self.total = 0
        """Bytes that are to come, as restic says."""
        self._patience = patience
        self._seen: list[object] = []
        self._since = time.monotonic()
        self._done = threading.Event()

    def read(self, line: str) -> None:
        """What restic says of its progress, once a second."""
        for told in _messages(line):
            self.total = int(told.get("total_bytes") or self.total)
            if (seen := [told.get(count) for count in COUNTS]) != self._seen:
                self._seen, self._since = seen, time.monotonic()

    def over(self, running: sh.RunningCommand) -> str:
        """Wait for its end; its output was read."""
        if self._patience is not None:
            threading.Thread(target=self._watch, args=(running, self._patience), daemon=True).start()
        try:
            running.wait()
        finally:
            self._done.set()
        return ""

    def _watch(self, running: sh.RunningCommand, patience: float) -> None:
        while not self._done.wait(max(0.0, self._since + patience - time.monotonic())):
            if time.monotonic() >= self._since + patience:
                self.stalled = True
                running.kill()
                return


class Repository:
    """The restic repository in one vault."""

    def __init__(self, program: Path, vault: VaultConfig, folder: str) -> None:
        self.vault = vault.name
        self.folder = folder
        name = "standby_password" if folder.startswith(layout.STANDBY) else "restic_password"
        password: str | None = getattr(vault, name)
        if password is None:
            raise MissingPart(
                f"There is no restic password for {folder} in {vault.name}.",
                f"Its configuration has no {name}.",
                "Give the vault its own password.",
            )
        try:
            sh.Command(str(program))
            self._restic = sh.Command("setpriv").bake(*DIES_WITH_US, str(program))
        except sh.CommandNotFound as error:
            raise MissingPart(
                f"restic is not at {program}.", "Snapshots need it.", "Bring the host into shape again."
            ) from error
        self._files = _files(vault.credentials)
        access = _access(vault, f"{vault.within}{folder}", {name: file.name for name, file in self._files.items()})
        self._env = {**os.environ, **access, "RESTIC_PASSWORD": password, "RESTIC_PROGRESS_FPS": "1"}
        self._how = ["-o", f"sftp.args={_ssh(self._files)}"] if vault.kind == "sftp" else []

    def init(self) -> bool:
        """Make the repository; False when there is one that this password opens."""
        try:
            self._run("init")
        except VaultError as error:
            if "already" not in error.why:
                raise
            self._run("cat", "config", "--no-lock")
            return False
        return True

    def backup(self, path: Path, beside: list[Path], excludes: list[str], host: str, tag: str) -> str:
        """Back up a folder, and some files beside it; the snapshot's id. What vanished in the folder meanwhile is no failure."""
        argv = ["backup", "--force", "--json", "--host", host, "--tag", tag, "--no-scan"]
        argv += [arg for pattern in excludes for arg in ("--exclude", pattern)]
        out = self._run(*argv, str(path), *map(str, beside), vanish_under=path)
        return str(next(m["snapshot_id"] for m in _messages(out) if m.get("message_type") == "summary"))

    def restore(
        self, snapshot: str, path: str, target: Path, patience: float | None = None, but: str | None = None
    ) -> None:
        """Bring a snapshot's folder back into `target`, `but` for one file of it; Stalled once nothing more came for so many seconds, DiskFull where it has no room.

        restic itself asks a vault that fails again and again, for a quarter of an hour. Rights that lie beside a file's mode are
        left out: they may let anybody in.
        """
        watch = Watch(patience)
        left_out = ["--exclude-xattr", "*", *(["--exclude", f"/{but}"] if but else [])]
        argv = ["restore", "--no-lock", "--json", f"{snapshot}:{path}", "--target", str(target), *left_out]
        try:
            self._run(*argv, watch=watch)
        except VaultError as error:
            if disk.IN_WORDS in error.why:
                raise disk.full(target, watch.total) from error
            if not watch.stalled:
                raise
            raise Stalled(
                f"{self.vault} stopped giving the files of a snapshot.",
                f"Nothing more came for {patience:g} s.",
                "Another vault is asked; look at this one afterwards.",
            ) from error

    def snapshots(self) -> list[str]:
        """Ids of all snapshots."""
        found: list[dict[str, Any]] = json.loads(self._run("snapshots", "--no-lock", "--json"))
        return [str(entry["id"]) for entry in found]

    def forget(self, snapshots: list[str]) -> None:
        """Remove snapshots, and all data that no other needs: also what an earlier run forgot, or a backup that was cut off left."""
        self._refuse_used()
        self._run("unlock")
        there = set(self.snapshots())
        if gone := [snapshot for snapshot in snapshots if snapshot in there]:
            self._run("forget", *gone)
        self._run("prune")

    def _refuse_used(self) -> None:
        """Refused where a lock is not surely old. restic itself takes one for old where no process of its number is here, on any machine of this one's name."""
        for lock in self._run("list", "locks", "--no-lock").split():
            told = json.loads(self._run("cat", "lock", lock, "--no-lock"))
            since = datetime.fromisoformat(str(told["time"]))
            if time.time() - since.timestamp() < STALE_S:
                raise Refused(
                    f"{self.folder}/ in {self.vault} is in use, by {told.get('hostname')} since {told['time']}.",
                    "A snapshot may be under way there, and what it puts would be taken for needless. Nothing was removed.",
                    f"Run it again in half an hour: what nobody renews until then is left behind. Where that lock is dated "
                    f"wrongly and nobody takes a snapshot, remove {self.folder}/locks/{lock} in the vault.",
                )

    def check(self, subset: str | None = None) -> None:
        """Let restic verify its structure, with all that it needs there, and read back a part of the data."""
        self._run("check", "--no-lock", *([f"--read-data-subset={subset}"] if subset else []))

    def _run(self, *argv: str, vanish_under: Path | None = None, watch: Watch | None = None) -> str:
        options: dict[str, Any] = {"_env": self._env, "_tty_out": False, "_bg_exc": False}
        try:
            if watch is not None:
                return watch.over(self._restic(*self._how, *argv, "--no-cache", **options, _bg=True, _out=watch.read))
            return str(self._restic(*self._how, *argv, "--no-cache", **options))
        except sh.ErrorReturnCode as error:
            out, told = error.stdout.decode(errors="replace"), error.stderr.decode(errors="replace")
            if error.exit_code == PARTIAL and vanish_under is not None and only_vanished(told, vanish_under):
                return out
            raise VaultError(
                f"restic {argv[0]} failed in {self.vault} (exit {error.exit_code})",
                _why(told) or _why(out) or "It said nothing.",
                f"Look at {self.folder}/ in {self.vault} and at the rights of the credentials in use.",
            ) from error


def only_vanished(told: str, folder: Path) -> bool:
    """Whether every error restic told of is a file below `folder` that was removed while it read."""
    errors = [m for m in _messages(told) if m.get("message_type") == "error"]
    return bool(errors) and all(
        VANISHED in str(m.get("error", {}).get("message", "")) and str(m.get("item", "")).startswith(f"{folder}/")
        for m in errors
    )


def _messages(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _why(text: str) -> str:
    said = [str(m.get("message") or m.get("error", {}).get("message", "")) for m in _messages(text)]
    plain = " ".join(said) if said else text
    return " ".join(plain.split())[-500:]


IN_FILES = ("service_account", "private_key", "host_key")
"""Credentials that restic, or ssh for it, takes from a file alone."""
HOST = "vault"


def _files(credentials: Mapping[str, str]) -> dict[str, IO[str]]:
    """These credentials where a program can read them: in memory, for as long as this is open."""
    return {name: _file(credentials[name], name) for name in IN_FILES if name in credentials}


def _file(text: str, name: str) -> IO[str]:
    file = tempfile.NamedTemporaryFile("w", dir="/dev/shm", prefix="restic-")  # noqa: SIM115 - 0600, in memory
    file.write(f"{HOST} {text}\n" if name == "host_key" else text)
    file.flush()
    return file


def _ssh(files: Mapping[str, IO[str]]) -> str:
    """How ssh reaches an SFTP server: with this key alone, and only the server whose key is pinned."""
    options = {
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": HOST,
        "UserKnownHostsFile": files["host_key"].name,
        "GlobalKnownHostsFile": "/dev/null",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "10",
    }
    argv = ["-F", "none", "-i", files["private_key"].name]
    return shlex.join([*argv, *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))])


def _access(vault: VaultConfig, folder: str, files: Mapping[str, str]) -> dict[str, str]:
    """What restic needs in its environment to reach the bucket."""
    if vault.kind == "sftp":
        server = vault.endpoint.removeprefix("sftp://")
        return {"RESTIC_REPOSITORY": f"sftp://{vault.credentials['user']}@{server}/{vault.bucket}/{folder}"}
    if vault.kind == "s3":
        return {
            "RESTIC_REPOSITORY": f"s3:{vault.endpoint}/{vault.bucket}/{folder}",
            "AWS_ACCESS_KEY_ID": vault.credentials["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": vault.credentials["secret_access_key"],
            "AWS_DEFAULT_REGION": vault.region,
        }
    access = {
        "RESTIC_REPOSITORY": f"gs:{vault.bucket}:/{folder}",
        "GOOGLE_PROJECT_ID": vault.vendor,
        **(
            {"GOOGLE_APPLICATION_CREDENTIALS": files["service_account"]}
            if "service_account" in files
            else {"GOOGLE_ACCESS_TOKEN": vault.credentials["token"]}
        ),
    }
    if not vault.endpoint.endswith(".googleapis.com"):
        access["STORAGE_EMULATOR_HOST"] = vault.endpoint.removeprefix("http://")
    return access
