"""The shell on a real sshd: a plain Debian host, its key pinned."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from resilience.adapters import ssh
from resilience.adapters.ssh import (
    CommandFailed,
    HostKeyMismatch,
    HostUnreachable,
    Login,
    LoginRefused,
    Shell,
    wait_until_up,
)
from stacks.first_boot import startup_script
from tests.plain_host import OURS, PlainHost, key_pair, plain_host


@pytest.fixture(scope="module")
def host() -> Iterator[PlainHost]:
    """One plain host for all tests here."""
    with plain_host() as found:
        yield found


@pytest.fixture
def shell(host: PlainHost) -> Iterator[Shell]:
    """A shell on it."""
    with host.entered(), wait_until_up(host.login, 120) as shell:
        yield shell


def test_a_command_has_status_and_both_outputs(shell: Shell) -> None:
    """Exit status, standard output and standard error come back apart."""
    result = shell.run("echo out; echo err >&2; exit 3")
    assert (result.exit, result.text, result.err.strip()) == (3, "out", "err")


def test_standard_input_reaches_the_command(shell: Shell) -> None:
    """What is fed in arrives whole, and its end is seen."""
    assert shell.run("sha256sum; wc -c", stdin=b"x" * 3_000_000).exit == 0
    assert shell.check("wc -c", stdin=b"x" * 3_000_000) == "3000000"


def test_a_command_that_was_begun_waits_for_its_standard_input(shell: Shell) -> None:
    """It runs already while others come and go, and goes on once it is given what it waits for; one that ended is told."""
    begun = shell.begin("touch /run/begun; read -r word; echo $word")
    shell.check("while [ ! -e /run/begun ]; do sleep 0.05; done", timeout=120)
    assert begun.waits
    assert shell.end(begun, b"go\n").text == "go"
    over = shell.begin("exit 3")
    while over.waits:
        shell.check("true")
    assert shell.end(over).exit == 3


def test_both_outputs_may_be_long(shell: Shell) -> None:
    """Megabytes on both outputs at the same time do not block each other."""
    result = shell.run("head -c 4000000 /dev/zero | tr '\\0' e >&2; head -c 4000000 /dev/zero | tr '\\0' o")
    assert (len(result.out), len(result.err)) == (4_000_000, 4_000_000)


def test_the_longest_right_answer_comes_whole(shell: Shell) -> None:
    """A million pictures by name, on one line."""
    script = "import json; print(json.dumps({'named': [f'{n:064x}' for n in range(10 ** 6)]}))"
    named = json.loads(shell.check(f'python3 -c "{script}"', timeout=300))["named"]
    assert (len(named), int(named[-1], 16)) == (10**6, 10**6 - 1)


def test_a_host_that_prints_without_end_is_named(shell: Shell) -> None:
    """Nothing more of it is taken than any right answer has, and its command ends there; the next one is answered."""
    with pytest.raises(CommandFailed, match="printed more than 4 MiB: echo") as caught:
        shell.run("echo $$ > /run/flood; exec yes", timeout=60, most=4 << 20)
    assert caught.value.what.startswith(shell.login.address)
    shell.check("while kill -0 $(cat /run/flood); do sleep 0.05; done", timeout=120)


def test_one_that_complains_without_end_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error more is right than on standard output, and that is not without end either."""
    monkeypatch.setattr(ssh, "MOST_SAID", 32 << 20, raising=False)
    with pytest.raises(CommandFailed, match="printed more than 32 MiB: yes"):
        shell.run("yes >&2", timeout=60)


def test_of_long_complaints_the_end_is_kept(shell: Shell) -> None:
    """A line for each picture that no vault gives may be right: nothing of them is needed but the last words."""
    result = shell.run("seq 4000000 >&2", timeout=120)
    assert (result.exit, result.complaint[-15:]) == (0, "3999999\n4000000")
    assert len(result.err) <= 8 << 20


def test_a_host_that_sends_what_nobody_asked_for_is_cut_off(tmp_path: Path) -> None:
    """Whoever rules a host may have an sshd of his own, which keeps to no window; a command that was begun waits for minutes."""
    cut_off: list[int] = []

    def converse(shell: Shell) -> None:
        begun = shell.begin("read -r word", timeout=60)
        cut_off.append(sent.get(timeout=60))
        shell.end(begun)

    with _strange_host(tmp_path) as (login, sent), Shell(login) as shell:
        with pytest.raises(HostUnreachable, match=re.escape(login.address)) as caught:
            converse(shell)
        assert (cut_off or [sent.get(timeout=60)])[0] < 64 << 20
    assert "more than it was asked for" in caught.value.why


class _Floods(paramiko.ServerInterface):
    """Lets everybody in, and once a command is begun sends and sends."""

    def __init__(self, sent: SimpleQueue[int]) -> None:
        self._sent = sent

    def get_allowed_auths(self, username: str) -> str:
        """As any host of ours."""
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Whoever it is."""
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Whatever it is."""
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Begun; nobody waits for a window."""
        channel.out_window_size = 1 << 40
        threading.Thread(target=self._flood, args=(channel,), daemon=True).start()
        return True

    def _flood(self, channel: paramiko.Channel) -> None:
        done = 0
        with suppress(OSError, EOFError):
            while done < 256 << 20:
                done += channel.send(bytes(1 << 15))
        self._sent.put(done)


@contextmanager
def _strange_host(folder: Path) -> Iterator[tuple[Login, SimpleQueue[int]]]:
    """One on loopback, and how many bytes it could send until it was cut off."""
    host_key, sent = key_pair(folder / "host"), SimpleQueue[int]()
    key_pair(folder / "ours")
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            transport = paramiko.Transport(door.accept()[0])
            transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(folder / "host")))
            transport.start_server(server=_Floods(sent))

        threading.Thread(target=serve, daemon=True).start()
        yield Login("127.0.0.1", host_key, folder / "ours", port=door.getsockname()[1]), sent


def test_the_connection_is_used_again(shell: Shell) -> None:
    """A second command comes over the same connection, and after a break over a new one."""
    first = shell.check("echo $SSH_CONNECTION")
    assert shell.check("echo $SSH_CONNECTION") == first
    shell.close()
    assert shell.check("echo $SSH_CONNECTION") != first


def test_commands_run_side_by_side(shell: Shell) -> None:
    """Two threads share one connection: each waits for what only the other one does."""
    said: list[str] = []

    def second() -> None:
        said.append(shell.check("while [ ! -e /run/first ]; do sleep 0.05; done; touch /run/second; echo met"))

    thread = threading.Thread(target=second)
    thread.start()
    shell.check("touch /run/first; while [ ! -e /run/second ]; do sleep 0.05; done", timeout=120)
    thread.join()
    assert said == ["met"]


def test_a_command_without_end_is_killed_on_the_host(shell: Shell) -> None:
    """When its time is over the command ends there too, so that a repetition meets nothing of it."""
    began = time.monotonic()
    while shell.run("test -s /run/stuck").exit:  # a busy host may need all of its time to begin
        with pytest.raises(CommandFailed, match="no end after 1 s"):
            shell.run("echo $$ >/run/stuck; exec sleep 300", timeout=1)
    assert time.monotonic() - began < 200
    assert shell.run("kill -0 $(cat /run/stuck)").exit == 1


def test_a_connection_that_ends_before_the_command_is_said_to_have(shell: Shell) -> None:
    """It is no command that failed: whoever runs it again connects anew."""
    up = 'p=$$; until [ "$(cat /proc/$p/comm)" = sshd ]; do p=$(cut -d" " -f4 /proc/$p/stat); done; kill -KILL $p; sleep 60'
    with pytest.raises(HostUnreachable, match="the connection broke during"):
        shell.run(up, timeout=60)
    assert shell.check("echo again") == "again"


def test_a_daemon_left_behind_does_not_hold_us(shell: Shell) -> None:
    """A command that ends while its child keeps the output open counts as ended."""
    result = shell.run("(sleep 600 & echo $! >/run/left); echo done", timeout=120)
    shell.check("kill $(cat /run/left)")
    assert result.text == "done"


def test_check_says_what_failed(shell: Shell) -> None:
    """A failed command names its status, and its own words are the reason."""
    with pytest.raises(CommandFailed, match="exit status 2") as caught:
        shell.check("ls /no/such/thing")
    assert "No such file" in caught.value.why


def test_put_replaces_a_file_whole(shell: Shell) -> None:
    """A file gets its content and mode, whatever its name."""
    shell.put("/root/it's a file", b"one\n", 0o600)
    shell.put("/root/it's a file", b"two\n", 0o640)
    assert shell.check('stat -c %a "/root/it\'s a file"; cat "/root/it\'s a file"; ls /root | wc -l') == "640\ntwo\n1"


def test_another_host_key_is_refused(host: PlainHost, tmp_path: Path) -> None:
    """Whoever shows another key than the pinned one is not talked to."""
    other = key_pair(tmp_path / "other")
    with host.entered(), pytest.raises(HostKeyMismatch, match="another key"):
        Shell(replace(host.login, host_key=other)).run("true")


@pytest.mark.parametrize("rubbish", ["none at-all", "", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!"])
def test_a_host_key_that_is_none_is_said(host: PlainHost, rubbish: str) -> None:
    """Rubbish in the place of a host key is named as such, without a call."""
    with pytest.raises(HostKeyMismatch, match="is not a key"):
        Shell(replace(host.login, host_key=rubbish)).run("true")


def test_a_key_the_host_does_not_know_is_refused(host: PlainHost, tmp_path: Path) -> None:
    """Our own key being the wrong one is told apart from a host that is away."""
    key_pair(tmp_path / "wrong")
    with host.entered(), pytest.raises(LoginRefused, match="does not accept our key"):
        Shell(replace(host.login, key_file=tmp_path / "wrong")).run("true")


def test_a_missing_key_is_said(host: PlainHost, tmp_path: Path) -> None:
    """A kit without its SSH key is named before anybody is called."""
    with host.entered(), pytest.raises(LoginRefused, match="cannot be read"):
        Shell(replace(host.login, key_file=tmp_path / "none")).run("true")


def test_a_closed_port_is_unreachable(host: PlainHost) -> None:
    """A refused connection says so."""
    with host.entered(), pytest.raises(HostUnreachable, match="no SSH conversation"):
        Shell(replace(host.login, address=OURS)).run("true")


def test_waiting_for_a_host_ends(host: PlainHost) -> None:
    """A host that does not come up is an error once the time is over, not a hang."""
    began = time.monotonic()
    with host.entered(), pytest.raises(HostUnreachable, match="no SSH within 1 s"):
        wait_until_up(replace(host.login, address=OURS), 1)
    assert time.monotonic() - began < 60


def test_a_first_boot_is_waited_for_and_never_trusted(host: PlainHost, tmp_path: Path) -> None:
    """Google's images start sshd before they read what they were told: their own key is waited out, ours lets us in.

    The script that a Google host runs at boot is run here, twice: the second time it changes nothing.
    """
    ours = tmp_path / "host-key"
    public = key_pair(ours)
    authorized = host.login.key_file.with_name(f"{host.login.key_file.name}.pub").read_text().strip()
    script = startup_script(authorized, ours.read_text(), public).encode()
    before = startup_script(
        authorized, (host.folder / "upper/etc/ssh/ssh_host_ed25519_key").read_text(), host.login.host_key
    )
    pinned = replace(host.login, host_key=public)
    with host.entered():
        with pytest.raises(HostKeyMismatch, match="another key"):
            wait_until_up(pinned, 1, first_boot=True)
        with wait_until_up(host.login, 120) as shell:
            shell.run("sh", stdin=script)
        with wait_until_up(pinned, 120, first_boot=True) as shell:
            assert shell.run("sh", stdin=script).exit == 0
            assert shell.check("stat -c %a /etc/ssh/ssh_host_ed25519_key") == "600"
            assert shell.check("sshd -T | grep -E '^(permitrootlogin|passwordauthentication|hostkey) '") == (
                "permitrootlogin without-password\npasswordauthentication no\nhostkey /etc/ssh/ssh_host_ed25519_key"
            )
            shell.run("sh", stdin=before.encode())
        wait_until_up(host.login, 120, first_boot=True).close()
