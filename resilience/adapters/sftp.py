"""A vault in a folder of an SFTP server, by paramiko, its host key pinned: it may hold copies, and never counts in n."""

from __future__ import annotations

import io
import posixpath
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

import paramiko

from resilience.adapters.bounded import refuse_above
from resilience.adapters.ssh import Login, connect
from resilience.adapters.vendor_words import fault
from resilience.errors import ResilienceError, UsageError
from resilience.model import VaultSpec
from resilience.replication import layout

STALE_S = 30.0
"""A server that says nothing for so long is taken for gone."""


class SftpVault:
    """Objects as files below one folder. Each appears whole: it is written beside its name, and moved there."""

    def __init__(self, spec: VaultSpec, user: str, private_key: str, host_key: str) -> None:
        self.name = spec.name
        self._folder = spec.bucket
        where = urlsplit(spec.endpoint)
        self._login = Login(where.hostname or "", host_key, Path(), user, where.port or 22)
        self._key = _key(spec.name, private_key)
        self._client: paramiko.SSHClient | None = None
        self._idle: list[paramiko.SFTPClient] = []
        self._lock = Lock()
        self._closed = False

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` if absent, as far as this server's rename refuses to replace; the protocol promises it nowhere."""
        with self._doing("put", key) as sftp:
            if _there(sftp, self._path(key)):
                return False
            new = self._upload(sftp, key, data)
            try:
                sftp.rename(new, self._path(key))
            except OSError:
                sftp.remove(new)
                if _there(sftp, self._path(key)):
                    return False
                raise
        return True

    def put_over(self, key: str, data: bytes) -> None:
        """Write `key`, whatever is there."""
        with self._doing("write over", key) as sftp:
            sftp.posix_rename(self._upload(sftp, key, data), self._path(key))

    def get(self, key: str) -> bytes | None:
        """The whole object; None only when the server says that there is no such file."""
        with self._doing("get", key) as sftp:
            try:
                file = sftp.open(self._path(key), "rb")
            except FileNotFoundError:
                return None
            with file:
                size = file.stat().st_size or 0
                refuse_above(layout.most(key), size)  # whatever is asked for ahead is in memory
                file.prefetch(size)
                return file.read(size)

    def exists(self, key: str) -> bool:
        """Whether `key` is there."""
        with self._doing("look for", key) as sftp:
            return _there(sftp, self._path(key))

    def list(self, prefix: str) -> list[str]:
        """Keys with this prefix, in order."""
        with self._doing("list", prefix) as sftp:
            return sorted(key for key in self._walk(sftp, posixpath.dirname(prefix)) if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove `key`; no error when absent."""
        with self._doing("delete", key) as sftp, suppress(FileNotFoundError):
            sftp.remove(self._path(key))

    def erase(self, key: str) -> None:
        """The same: a folder keeps no versions."""
        self.delete(key)

    def close(self) -> None:
        """The connection ends, and none is made any more."""
        with self._lock:
            self._closed = True
            if self._client is not None:
                self._client.close()

    def _path(self, key: str) -> str:
        return posixpath.join(self._folder, key)

    def _upload(self, sftp: paramiko.SFTPClient, key: str, data: bytes) -> str:
        """Where the whole of it lies, under a name that no key has."""
        folder, name = posixpath.split(self._path(key))
        new = posixpath.join(folder, f".{name}.{secrets.token_hex(4)}")
        try:
            sftp.putfo(io.BytesIO(data), new)
        except FileNotFoundError:
            _make(sftp, folder)
            sftp.putfo(io.BytesIO(data), new)
        return new

    def _walk(self, sftp: paramiko.SFTPClient, folder: str) -> Iterator[str]:
        try:
            entries = sftp.listdir_attr(self._path(folder) or ".")
        except FileNotFoundError:
            return
        for entry in entries:
            key = posixpath.join(folder, entry.filename)
            if stat.S_ISDIR(entry.st_mode or 0):
                yield from self._walk(sftp, key)
            elif not entry.filename.startswith("."):
                yield key

    @contextmanager
    def _doing(self, did: str, key: str) -> Iterator[paramiko.SFTPClient]:
        """A session for one thing; one in which something went wrong is not used again."""
        try:
            sftp = self._session()
            yield sftp
        except Exception as error:  # also what paramiko stumbles over
            why = error.why if isinstance(error, ResilienceError) else f"{type(error).__name__}: {error}"
            raise fault(error, silent=False)(
                f"{self.name} could not {did} {key}",
                why,
                f"Look at {self.name}'s endpoint, at its host key in the kit, and at the account's rights and quota.",
            ) from error
        with self._lock:
            self._idle.append(sftp)

    def _session(self) -> paramiko.SFTPClient:
        with self._lock:
            transport = self._client.get_transport() if self._client else None
            if self._closed:
                raise OSError("this vault is closed")
            if transport is None or not transport.is_active():
                self._idle.clear()
                self._client = connect(self._login, key=self._key)
                transport = self._client.get_transport()
            if self._idle:
                return self._idle.pop()
        assert transport is not None
        made = paramiko.SFTPClient.from_transport(transport)
        assert made is not None
        channel = made.get_channel()
        assert channel is not None
        channel.settimeout(STALE_S)
        return made


def _key(vault: str, text: str) -> paramiko.PKey:
    try:
        return paramiko.Ed25519Key.from_private_key(io.StringIO(text))
    except paramiko.SSHException as error:
        raise UsageError(
            f"{vault}'s private key cannot be read",
            str(error) or "It is no Ed25519 key in OpenSSH's form.",
            f"Put the text of an Ed25519 key without a passphrase into the kit's vaults/{vault}.json.",
        ) from error


def _there(sftp: paramiko.SFTPClient, path: str) -> bool:
    try:
        sftp.stat(path)
    except FileNotFoundError:
        return False
    return True


def _make(sftp: paramiko.SFTPClient, folder: str) -> None:
    """This folder and those above it; somebody else may make one of them at the same moment."""
    if not folder or folder == "/" or _there(sftp, folder):
        return
    _make(sftp, posixpath.dirname(folder))
    try:
        sftp.mkdir(folder)
    except OSError:
        if not _there(sftp, folder):
            raise
