"""A shell on a host: paramiko, with the host's key pinned and never trusted on first use."""

from __future__ import annotations

import shlex
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko
from paramiko.buffered_pipe import BufferedPipe

from resilience.errors import ResilienceError

CONNECT_S = 5.0
KEEPALIVE_S = 5
DEAD_AFTER_MS = 20_000
"""Data that nobody acknowledged for this long: the connection is over (TCP_USER_TIMEOUT)."""
PACKET = 1 << 15
POLL_S = 0.05
ENDED_BY_TIMEOUT = frozenset({124, 137})
"""What timeout(1) answers when it ended the command, by TERM or by KILL."""
NO_STATUS = -1
"""What paramiko has for a command that did not tell: a signal ended it, or the connection is over."""
LEFT_OPEN_S = 2.0
"""After its end, a command's children may hold the output open; so long their words still count."""
MOST = 128 << 20
"""Bytes of an answer: one that names a million pictures has 70 MB, and no other right one is longer."""
MOST_SAID = 4 << 30
"""Bytes of standard error: a line for each picture that no vault gives is right, from each vault."""
KEPT = 8 << 20
"""Its last bytes, which are all that is kept of it."""


class HostUnreachable(ResilienceError):
    """No SSH conversation with this host: refused, no route, or no answer in time."""


class HostKeyMismatch(ResilienceError):
    """Whoever answers at this address is not the host we made."""


class LoginRefused(ResilienceError):
    """The host answers but does not accept our key."""


class CommandFailed(ResilienceError):
    """A command on a host ended with a status other than 0, did not end in time, or printed without end."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left: exit status and both outputs, as text."""

    exit: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Standard output without surrounding white space."""
        return self.out.strip()

    @property
    def complaint(self) -> str:
        """The last lines of standard error, or of the output where that is empty."""
        return (self.err.strip() or self.out.strip())[-2000:]


@dataclass(frozen=True, slots=True)
class Login:
    """How to get into a host: its address, its pinned key, our private key."""

    address: str
    host_key: str
    """`ssh-ed25519 AAAA…`, as the stack exported it."""
    key_file: Path
    user: str = "root"
    port: int = 22

    def known_host(self) -> str:
        """This host's line in a known_hosts file."""
        return f"{self.lookup_name()} {' '.join(self.host_key.split()[:2])}\n"

    def lookup_name(self) -> str:
        """The name known_hosts lists this host under."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Begun:
    """A command that was started and has not been given its standard input yet."""

    channel: paramiko.Channel
    command: str
    at: float
    limit: int

    @property
    def waits(self) -> bool:
        """Whether it is still there."""
        return not self.channel.closed and not self.channel.exit_status_ready()


class Shell:
    """One connection to one host, made when first needed and used again."""

    def __init__(self, login: Login, connect_s: float = CONNECT_S) -> None:
        self.login = login
        self._connect_s = connect_s
        self._client: paramiko.SSHClient | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, command: str, *, stdin: bytes | None = None, timeout: float = 60.0, most: int = MOST) -> Result:
        """Run a bash command and wait for it; on the host it is killed when the time is over, and ends when it prints more than that."""
        return self.end(self.begin(command, timeout=timeout), stdin, most)

    def begin(self, command: str, *, timeout: float = 60.0) -> Begun:
        """Start a bash command that waits for its standard input."""
        limit = max(1, round(timeout))
        channel = self._channel()
        at = (
            time.monotonic()
        )  # the host's own count begins after this, so that what it ended is never taken for an end by itself
        try:
            channel.exec_command(f"timeout -k 5 {limit} bash -c {shlex.quote(command)}")
        except (paramiko.SSHException, OSError, EOFError) as error:
            channel.close()
            raise self._lost(command, error) from error
        return Begun(channel, command, at, limit)

    def end(self, begun: Begun, stdin: bytes | None = None, most: int = MOST) -> Result:
        """Give a command its standard input, and wait for its end."""
        try:
            result = _converse(begun.channel, stdin or b"", begun.at + begun.limit + 10, most)
        except _TooMuch as error:
            raise CommandFailed(
                f"{self.login.address}: it printed more than {error.bound >> 20} MiB: {_short(begun.command)}",
                "No right answer is so long: what we run there is not what answers, or it went wrong.",
                "See who rules that host, and what runs there, before anything else is asked of it.",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._lost(begun.command, error) from error
        finally:
            begun.channel.close()
        if result.exit in ENDED_BY_TIMEOUT and time.monotonic() - begun.at >= begun.limit:
            raise CommandFailed(
                f"{self.login.address}: no end after {begun.limit} s: {_short(begun.command)}",
                result.complaint or "It printed nothing.",
                "Look at the host's load and journal, then run the same command again.",
            )
        return result

    def check(self, command: str, *, stdin: bytes | None = None, timeout: float = 60.0, most: int = MOST) -> str:
        """Run a command that must succeed; returns its output as text."""
        result = self.run(command, stdin=stdin, timeout=timeout, most=most)
        if result.exit != 0:
            raise CommandFailed(
                f"{self.login.address}: exit status {result.exit} from: {_short(command)}",
                result.complaint or "It printed nothing.",
                "Run it by hand on the host to see more; every step may be repeated.",
            )
        return result.text

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file in one move: readers see the old content or the new, with this mode."""
        new, final = shlex.quote(f"{path}.new"), shlex.quote(path)
        self.check(f"umask 077; cat >{new} && chmod {mode:o} {new} && mv -f {new} {final}", stdin=data)

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _channel(self) -> paramiko.Channel:
        """A channel on the connection, which is made anew when it was lost in between."""
        with self._lock:
            transport = self._client.get_transport() if self._client else None
            if transport is None or not transport.is_active():
                self._client = connect(self.login, self._connect_s)
                transport = self._client.get_transport()
        assert transport is not None
        try:
            return _within_its_window(transport.open_session(timeout=self._connect_s))
        except (paramiko.SSHException, EOFError, OSError) as error:
            self.close()
            raise self._broken("a new session", str(error)) from error

    def _lost(self, command: str, error: Exception) -> HostUnreachable:
        """The connection is no good any more; the next call makes a new one."""
        self.close()
        return self._broken(command, str(error) or type(error).__name__)

    def _broken(self, doing: str, why: str) -> HostUnreachable:
        return HostUnreachable(
            f"{self.login.address}: the connection broke during: {_short(doing)}",
            why,
            "Run the same command again: it connects anew and repeats the step.",
        )


def connect(login: Login, timeout: float = CONNECT_S, key: paramiko.PKey | None = None) -> paramiko.SSHClient:
    """Connect with nothing but our key (the login's, or this one), to nothing but the host that holds the pinned key."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    pinned = _pinned(login)
    client.get_host_keys().add(login.lookup_name(), pinned.get_name(), pinned)
    try:
        client.connect(
            login.address,
            port=login.port,
            username=login.user,
            pkey=key or _our_key(login.key_file),
            sock=_socket(login, timeout),
            allow_agent=False,
            look_for_keys=False,
            banner_timeout=timeout,
            auth_timeout=timeout,
        )
    except (paramiko.SSHException, OSError, EOFError) as error:
        client.close()
        raise _why_not(login, error) from error
    transport = client.get_transport()
    assert transport is not None
    transport.set_keepalive(KEEPALIVE_S)
    return client


def wait_until_up(login: Login, timeout: float, every: float = 0.1, *, first_boot: bool = False) -> Shell:
    """A connected shell as soon as the host lets us in; raises when it does not in time.

    A host on its first boot may show another key, or not know ours, until it has read what it was told.
    Nobody talks to it meanwhile: only the pinned key ever ends the wait.
    """
    deadline = time.monotonic() + timeout
    waits_out = (HostUnreachable, HostKeyMismatch, LoginRefused) if first_boot else (HostUnreachable,)
    while True:
        shell = Shell(login)
        try:
            shell.check("true")
        except waits_out as error:
            shell.close()
            if time.monotonic() >= deadline:
                if not isinstance(error, HostUnreachable):
                    raise
                raise HostUnreachable(
                    f"{login.address}: no SSH within {timeout:.0f} s",
                    error.why,
                    "Look at the host's console at its vendor, then run the same command again.",
                ) from error
            time.sleep(every)
        else:
            return shell


def _socket(login: Login, timeout: float) -> socket.socket:
    """A TCP connection that ends by itself when the other side is gone without a word."""
    sock = socket.create_connection((login.address, login.port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_MS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _pinned(login: Login) -> paramiko.PKey:
    """The host's public key as paramiko knows it."""
    try:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(login.known_host().strip())
    except (paramiko.hostkeys.InvalidHostKey, paramiko.SSHException, ValueError):
        entry = None
    if entry is None or entry.key is None:
        raise HostKeyMismatch(
            f"{login.address}: the pinned host key is not a key: {login.host_key[:40]!r}",
            "A host key reads `ssh-ed25519 AAAA…`, as the stack exports it.",
            "Make the site again with `resilience up`, which exports it anew.",
        )
    return entry.key


def _our_key(path: Path) -> paramiko.PKey:
    """Our private key from the kit."""
    try:
        return paramiko.Ed25519Key.from_private_key_file(str(path))
    except (OSError, paramiko.SSHException) as error:
        raise LoginRefused(
            f"The SSH key {path.name} cannot be read",
            str(error),
            "Put the kit's Ed25519 key back in place (OpenSSH format, mode 0600).",
        ) from error


def _why_not(login: Login, error: Exception) -> ResilienceError:
    """Say which of the four ways a login can fail this was."""
    where = f"{login.user}@{login.address}:{login.port}"
    if isinstance(error, ResilienceError):
        return error
    if isinstance(error, paramiko.BadHostKeyException) or "no acceptable host key" in str(error).lower():
        return HostKeyMismatch(
            f"{where}: the host shows another key than the pinned one",
            "Somebody else answers at this address, or the host was made anew outside of its stack.",
            "Do not go on before you know which; `resilience up` makes a host of ours there again.",
        )
    if isinstance(error, paramiko.AuthenticationException):
        return LoginRefused(
            f"{where}: the host does not accept our key",
            str(error) or "Authentication failed.",
            "Compare the kit's SSH key with the host's authorized_keys.",
        )
    return HostUnreachable(
        f"{where}: no SSH conversation",
        str(error) or type(error).__name__,
        "See whether the host runs and port 22 is open to this machine, then run the same command again.",
    )


class _Window(BufferedPipe):  # type: ignore[type-arg]  # generic in its stubs alone
    """What has come and was not read yet: what is beyond what was asked for ends the connection, as the protocol has it and paramiko has not."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def feed(self, data: bytes) -> None:
        """As any pipe; it is the connection's own thread that calls."""
        if len(self) + len(data) > self._size:
            raise EOFError("The host sent more than it was asked for.")
        super().feed(data)


def _within_its_window(channel: paramiko.Channel) -> paramiko.Channel:
    """The same, and nobody need read it for it to be bounded."""
    channel.in_buffer, channel.in_stderr_buffer = _Window(channel.in_window_size), _Window(channel.in_window_size)
    return channel


class _TooMuch(Exception):
    """A command printed more than any rightly does."""

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.bound = bound


@dataclass
class _Printed:
    """What a command has printed until now: its output whole, and the end of its complaints."""

    most: int
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    said: int = 0

    def take(self, channel: paramiko.Channel) -> bool:
        """Take what has arrived; False where nothing had, _TooMuch where that is more than it may be."""
        out = channel.recv(1 << 20) if channel.recv_ready() else b""
        err = channel.recv_stderr(1 << 20) if channel.recv_stderr_ready() else b""
        self.out += out
        self.err += err
        self.said += len(err)
        if len(self.err) > 2 * KEPT:
            del self.err[:-KEPT]
        if len(self.out) > self.most:
            raise _TooMuch(self.most)
        if self.said > MOST_SAID:
            raise _TooMuch(MOST_SAID)
        return bool(out or err)


def _converse(channel: paramiko.Channel, stdin: bytes, deadline: float, most: int) -> Result:
    """Feed standard input, read both outputs, wait for the exit status; all at the same time."""
    printed = _Printed(most)
    feeder = threading.Thread(target=_feed, args=(channel, stdin), daemon=True)
    feeder.start()
    while not channel.exit_status_ready() and time.monotonic() < deadline and not channel.closed:
        if not printed.take(channel):
            channel.status_event.wait(POLL_S)
    left_open = time.monotonic() + LEFT_OPEN_S
    while not channel.eof_received and time.monotonic() < left_open:
        if not printed.take(channel):
            time.sleep(POLL_S / 10)
    while printed.take(channel):
        pass
    if not channel.exit_status_ready():
        raise EOFError("the host stopped answering before the command had ended")
    status = channel.recv_exit_status()
    if status == NO_STATUS and (why := channel.get_transport().saved_exception) is not None:
        raise EOFError(str(why) or "the connection ended before the command had") from why
    err = printed.err[-KEPT:]
    return Result(status, printed.out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    """Send standard input and its end; a command that does not read it to the end is no error, and a lost host is told by who reads."""
    try:
        left = memoryview(stdin)
        while left:  # sendall would copy all that is left for each packet
            left = left[channel.send(left[:PACKET].tobytes()) :]
        channel.shutdown_write()
    except (OSError, EOFError, paramiko.SSHException):
        return


def _short(command: str) -> str:
    """A command's first line, for an error."""
    first = command.strip().splitlines()[0] if command.strip() else command
    return first if len(first) <= 120 else first[:117] + "…"  # noqa: PLR2004
