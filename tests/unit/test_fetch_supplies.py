"""What a new host fetches from vaults of which some drag it out: another one's answer is taken, and whoever held it up is named."""

from __future__ import annotations

import hashlib
import io
import math
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from resilience.adapters import supplies
from resilience.adapters.shells import FIRST_BOOT_S
from resilience.host import fetch, shape

DATA = os.urandom(1 << 20)
LEAST = len(DATA) // 4
PIECE = 1 << 14
MORE = 8 << 20
"""So much goes out at once of what has no end; after that a little at a time, as long as anybody listens."""
PATIENCE_S = 1.0
LIMIT_S = 30.0
"""Seconds after which a test counts as held up."""


@dataclass
class Vaults:
    """Doors on this machine: what is asked for names how it is answered."""

    url: str
    over: threading.Event
    asked: list[str] = field(default_factory=list)
    line: threading.Lock = field(default_factory=threading.Lock)
    """One line carries all that is put on it."""
    line_rate: float = 0.0
    """Bytes a second that it carries."""
    free: float = 0.0
    """When it has carried all that was put on it: whoever comes late to it, for other work on this machine, makes it no slower."""

    def carried_in(self, size: int) -> float:
        """Seconds until it has carried so much more."""
        with self.line:
            self.free = (self.free or time.monotonic()) + size / self.line_rate
            return max(0.0, self.free - time.monotonic())

    def file(self, *names: str) -> dict[str, Any]:
        """The file as a job names it, to be had from these."""
        sources = [{"vault": name, "url": f"{self.url}/{name}", "headers": {}} for name in names]
        return {"name": "restic", "sha256": hashlib.sha256(DATA).hexdigest(), "bytes": len(DATA), "sources": sources}


def _good(to: _Door) -> None:
    to.answers(len(DATA))
    to.wfile.write(DATA)


def _endless(to: _Door) -> None:
    to.answers()
    to.wfile.write(bytes(MORE))
    to.drip(bytes(1 << 30))


def _trickle(to: _Door) -> None:
    to.answers(len(DATA))
    to.drip(DATA)


def _slow_to_answer(to: _Door) -> None:
    to.drip(b"HTTP/1.0 200 OK\r\nX-Never: " + b"x" * 60_000)


def _slow_to_end(to: _Door) -> None:
    to.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
    to.drip(b"a: b\r\n" * 10_000)


def _longer(to: _Door) -> None:
    to.answers(len(DATA) + MORE)
    to.wfile.write(bytes(len(DATA)) + bytes(MORE))


def _shorter(to: _Door) -> None:
    to.answers(len(DATA))
    to.wfile.write(DATA[:1000])


def _no_answer(to: _Door) -> None:
    to.wfile.write(b"SSH-2.0-OpenSSH\r\n" * 3)


def _half_speed(to: _Door) -> None:
    """All of it, in more time than the first round gives, and with a pause between pieces."""
    to.answers(len(DATA))
    for at in range(0, len(DATA), len(DATA) // 5):
        to.wfile.write(DATA[at : at + len(DATA) // 5])
        to.pause(PATIENCE_S * 1.5)


def _behind_a_line(to: _Door) -> None:
    """A whole package, as quick as its share of the line lets it."""
    to.answers(len(PACKAGE))
    for at in range(0, len(PACKAGE), PIECE):
        to.pause(to.vaults.carried_in(PIECE))
        to.wfile.write(PACKAGE[at : at + PIECE])


def _package(to: _Door) -> None:
    to.answers(len(PACKAGE))
    to.wfile.write(PACKAGE)


def _cut_at_the_end(to: _Door) -> None:
    """Quick, but for the last byte."""
    to.answers(len(DATA))
    to.wfile.write(DATA[:-1])
    to.pause(LIMIT_S * 2)


def _packed() -> bytes:
    """What a host unpacks."""
    made, member = io.BytesIO(), tarfile.TarInfo("data")
    member.size = len(DATA)
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as tar:
        tar.addfile(member, io.BytesIO(DATA))
    return made.getvalue()


PACKAGE = _packed()
WAYS: Mapping[str, Callable[[_Door], None]] = {
    "good": _good,
    "endless": _endless,
    "trickle": _trickle,
    "slow-to-answer": _slow_to_answer,
    "slow-to-end": _slow_to_end,
    "longer": _longer,
    "shorter": _shorter,
    "no-answer": _no_answer,
    "half-speed": _half_speed,
    "behind-a-line": _behind_a_line,
    "package": _package,
    "cut-at-the-end": _cut_at_the_end,
}


class _Door(BaseHTTPRequestHandler):
    """One answer."""

    vaults: Vaults

    def do_GET(self) -> None:
        """In the way that was asked for."""
        self.vaults.asked.append(self.path.strip("/"))
        try:
            WAYS[self.path.strip("/")](self)
        except OSError:
            return  # nobody listens any more

    def answers(self, length: int | None = None) -> None:
        """Say that it is there."""
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def drip(self, data: bytes) -> None:
        """A byte now and then."""
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.vaults.over.wait(0.05):
                return

    def pause(self, seconds: float) -> None:
        """Nothing for so long."""
        self.vaults.over.wait(seconds)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def vaults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vaults]:
    """A real server, and little patience: a window is a fraction of a second."""
    monkeypatch.setattr(fetch, "PATIENCE_S", PATIENCE_S, raising=False)
    monkeypatch.setattr(fetch, "LEAST", LEAST, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
    server.daemon_threads = True
    found = _Door.vaults = Vaults(f"http://127.0.0.1:{server.server_port}", threading.Event())
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    found.over.set()
    server.shutdown()
    server.server_close()


def _fetched(file: dict[str, Any], folder: Path, within: float = math.inf) -> tuple[str, list[str]]:
    """The vault that gave it and who did not; whoever is held up for longer than any test may is no success."""
    found: list[tuple[str, list[str]] | Exception] = []

    def work() -> None:
        try:
            found.append(fetch.fetch(file, folder / "restic", time.monotonic() + within, fetch.Line(1)))
        except Exception as error:  # noqa: BLE001 - raised again below
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    assert found, f"held up for {LIMIT_S:.0f} s"
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


@pytest.mark.parametrize("bad", sorted(set(WAYS) - {"good", "half-speed", "behind-a-line", "package"}))
def test_who_drags_it_out_or_gives_something_else_is_passed_over_and_named(
    vaults: Vaults, tmp_path: Path, bad: str
) -> None:
    """The next vault's answer is taken, and no more is on the disk than that."""
    assert _fetched(vaults.file(bad, "good"), tmp_path)[0] == "good"
    assert (tmp_path / "restic").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir() if path.stat().st_size > 100] == ["restic"]


def test_who_was_passed_over_is_named_with_what_it_did(vaults: Vaults, tmp_path: Path) -> None:
    """Each in a few words, whatever it did."""
    names = ["trickle", "shorter", "longer", "no-answer", "good"]
    source, refused = _fetched(vaults.file(*names), tmp_path)
    assert source == "good"
    assert [line.split(":")[0] for line in refused] == names[:-1]
    said = ("bytes came in", f"it gave 1000 of {len(DATA)} bytes", "what it holds is altered", "SSH-2.0")
    assert [word in line for word, line in zip(said, refused, strict=True)] == [True] * 4, refused


def test_no_more_is_taken_than_was_asked_for(vaults: Vaults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault that alone has it, and streams without end, fills no disk: its answer is altered, and that is all."""
    monkeypatch.setattr(fetch, "LEAST", 0, raising=False)
    with pytest.raises(fetch.Failed, match="no vault gave restic whole: endless: what it holds is altered"):
        _fetched(vaults.file("endless"), tmp_path)
    assert (tmp_path / "restic").stat().st_size == len(DATA)


def test_a_slow_but_honest_vault_is_taken_where_nobody_is_quicker(vaults: Vaults, tmp_path: Path) -> None:
    """It is asked again with more patience, between others who never end."""
    source, refused = _fetched(vaults.file("trickle", "half-speed", "endless"), tmp_path)
    assert source == "half-speed"
    assert (tmp_path / "restic").read_bytes() == DATA
    assert {line.split(":")[0] for line in refused} == {"trickle", "half-speed", "endless"}


def test_who_stalls_before_the_end_each_time_does_not_go_before_who_is_slow(vaults: Vaults, tmp_path: Path) -> None:
    """However much of it was quick."""
    assert _fetched(vaults.file("cut-at-the-end", "half-speed"), tmp_path)[0] == "half-speed"
    again = vaults.asked[2:]
    assert again[0] == "half-speed"


def test_when_the_time_is_over_every_vault_is_named(vaults: Vaults, tmp_path: Path) -> None:
    """The host itself ends, before whoever called it, and says who was slow."""
    began = time.monotonic()
    with pytest.raises(fetch.Failed, match="in time") as caught:
        _fetched(vaults.file("trickle", "cut-at-the-end"), tmp_path, within=2.0)
    assert time.monotonic() - began >= 2.0
    assert "trickle: " in str(caught.value)
    assert "cut-at-the-end: " in str(caught.value)


def test_who_gives_nothing_at_all_is_not_asked_for_ever(vaults: Vaults, tmp_path: Path) -> None:
    """Once more, and then that is told, however much time there is."""
    with pytest.raises(fetch.Failed, match=r"slow-to-answer: nothing came in [0-9.]+ s"):
        _fetched(vaults.file("slow-to-answer", "shorter"), tmp_path)
    assert vaults.asked == ["slow-to-answer", "shorter", "slow-to-answer"]


def test_the_next_run_does_not_begin_with_who_was_passed_over(vaults: Vaults, tmp_path: Path) -> None:
    """Nor does the next file of this one."""
    with pytest.raises(fetch.Failed):
        _fetched(vaults.file("trickle", "shorter"), tmp_path, within=2.0)
    vaults.asked.clear()
    assert _fetched(vaults.file("shorter", "trickle", "good"), tmp_path) == ("good", [])
    assert vaults.asked == ["good"]


def _unpacked(vaults: Vaults, folder: Path, patch: pytest.MonkeyPatch, count: int) -> Mapping[str, Any]:
    """So many packages at once, of a vault behind the line and another one; what was said of each."""
    for name, path in {"HOME": folder / "home", "STORE": folder / "store", "MARKER": folder / "home/marker"}.items():
        patch.setattr(fetch, name, path)
    one = {
        **vaults.file("behind-a-line", "package"),
        "sha256": hashlib.sha256(PACKAGE).hexdigest(),
        "bytes": len(PACKAGE),
    }
    files = [{**one, "name": f"{number}.tar.gz"} for number in range(count)]
    parts: Mapping[str, Any] = fetch.unpack({"digest": "", "files": files, "within_s": LIMIT_S})["parts"]
    return parts


def test_files_that_come_together_share_the_least_rate(
    vaults: Vaults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An honest vault behind a line that carries enough for one is not passed over since it carries four at a time."""
    vaults.line_rate = 3.5 * LEAST / PATIENCE_S
    parts = _unpacked(vaults, tmp_path, monkeypatch, 4)
    assert [(part["source"], part["refused"]) for part in parts.values()] == [("behind-a-line", [])] * 4
    assert vaults.asked == ["behind-a-line"] * 4


def test_a_vault_that_drags_all_files_out_is_passed_over_at_once(
    vaults: Vaults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That all come slowly together is no excuse for one: each is asked of it once."""
    vaults.line_rate = 0.5 * LEAST / PATIENCE_S
    parts = _unpacked(vaults, tmp_path, monkeypatch, 4)
    assert [part["source"] for part in parts.values()] == ["package"] * 4
    assert sorted(vaults.asked) == ["behind-a-line"] * 4 + ["package"] * 4


def test_links_and_the_caller_last_longer_than_the_host_s_patience() -> None:
    """So that the host's own words, with names in them, are what the operator sees."""
    assert shape.FETCH_S + FIRST_BOOT_S < supplies.LINK_S
    assert shape.FETCH_S + shape.CONFIGURE_S <= shape.UNPACK_S
