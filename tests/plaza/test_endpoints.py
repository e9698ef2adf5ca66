"""The signed list of endpoints: forged, old and expired ones, by the Python verifier and as the site serves it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from resilience.plaza import endpoints
from resilience.plaza.endpoints import NotTrusted, parse_public, read
from tests.aws_server import client, empty_server
from tests.plaza.harness import Site, wait_until

Command = Callable[..., dict[str, Any]]


class Quiet(SimpleHTTPRequestHandler):
    """A static host, as any vendor sells it."""

    def end_headers(self) -> None:
        """Let clients on other sites read it, but for one file."""
        if not self.path.startswith("/closed"):
            self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def do_PUT(self) -> None:
        """Its owner writes with a password."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        allowed = self.headers.get("Authorization") == "Basic owner"
        if allowed:
            Path(self.translate_path(self.path)).write_bytes(data)
        self.send_response(201 if allowed else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        """Say nothing."""


@contextmanager
def static_host(folder: Path) -> Iterator[str]:
    """Serves a folder at an address of its own."""
    folder.mkdir(exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs one of the module's commands; what it says, or its complaint."""

    def run(*arguments: str | Path) -> dict[str, Any]:
        status = endpoints.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        facts: dict[str, Any] = json.loads(said.out) if said.out else {}
        return {**facts, "failed": said.err} if status else facts

    return run


@pytest.fixture
def key(tmp_path: Path, command: Command) -> Path:
    """A key as the kit has it."""
    command("keygen", "--key", tmp_path / "endpoints.key")
    assert (tmp_path / "endpoints.key").stat().st_mode & 0o777 == 0o600
    return tmp_path / "endpoints.key"


def signed(command: Command, key: Path, file: Path, *more: str) -> dict[str, Any]:
    """The next version of a list."""
    return command("sign", "--key", key, "--out", file, "--endpoint", "https://plaza.example", *more)


def test_versions_count_up_and_never_down(tmp_path: Path, key: Path, command: Command) -> None:
    """Each signing is the next version; who has seen one takes neither an older nor another one of the same number."""
    file = tmp_path / "endpoints.json"
    assert signed(command, key, file)["version"] == 1
    old = file.read_text()
    assert signed(command, key, file, "--notice", "We have moved.")["version"] == 2
    public = parse_public(key.with_suffix(".pub").read_text())
    second = read(file.read_text(), public)
    assert read(file.read_text(), public, second) == second
    with pytest.raises(NotTrusted, match="version 2 has been seen"):
        read(old, public, second)
    file.write_text(old)
    signed(command, key, file, "--notice", "Something else.")
    with pytest.raises(NotTrusted, match="version 2 has been seen"):
        read(file.read_text(), public, second)


def test_what_was_not_signed_is_not_read(tmp_path: Path, key: Path, command: Command) -> None:
    """One letter changed, another key, another format, junk: each refused with the reason."""
    file = tmp_path / "endpoints.json"
    signed(command, key, file)
    text = file.read_text()
    public = parse_public(key.with_suffix(".pub").read_text())
    for wrong in (text.replace("plaza.example", "pl4za.example"), "{}", "[]", "", '{"payload": 1, "signature": "zz"}'):
        with pytest.raises(NotTrusted):
            read(wrong, public)
    command("keygen", "--key", tmp_path / "other.key")
    with pytest.raises(NotTrusted, match="not signed with our key"):
        read(text, parse_public((tmp_path / "other.pub").read_text()))
    assert (
        "can't be read"
        in command("sign", "--key", key, "--out", tmp_path / "other.pub", "--endpoint", "https://x")["failed"]
    )
    assert (
        "no address" in command("sign", "--key", key, "--out", tmp_path / "new.json", "--endpoint", "ftp://x")["failed"]
    )


def test_fetch_takes_the_newest_from_whoever_has_it(tmp_path: Path, key: Path, command: Command) -> None:
    """Of several hosts, one dead, one with an old list, one forged: the newest is kept; it can't be taken back later."""
    file, seen = tmp_path / "endpoints.json", tmp_path / "seen.json"
    signed(command, key, file)
    with static_host(tmp_path / "a") as a, static_host(tmp_path / "b") as b, static_host(tmp_path / "c") as c:
        (tmp_path / "a/l.json").write_text(file.read_text())
        signed(command, key, file, "--notice", "Moved.", "--days", "-1")
        (tmp_path / "b/l.json").write_text(file.read_text())
        (tmp_path / "c/l.json").write_text(file.read_text().replace("Moved", "Money"))
        mirrors = [f"{host}/l.json" for host in ("http://127.0.0.1:9", c, a, b)]
        found = command("fetch", "--public", key.with_suffix(".pub"), "--seen", seen, *mirrors)
        assert (found["version"], found["notice"], found["current"]) == (2, "Moved.", False)
        assert len(found["problems"]) == 2
        again = command("fetch", "--public", key.with_suffix(".pub"), "--seen", seen, f"{a}/l.json")
        assert again["version"] == 2
        assert "has been seen" in again["problems"][0]
        none = command("fetch", "--public", key.with_suffix(".pub"), "--seen", tmp_path / "no", f"{c}/l.json")
        assert "No list could be trusted" in none["failed"]


FOR_ALL = {
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lists/*"}]
}


def test_a_list_is_brought_to_unrelated_hosts_and_read_back(tmp_path: Path, key: Path, command: Command) -> None:
    """A web host and a bucket hold it; twice is once; what fails is told for each host by itself, and the others have it."""
    file, places, public = tmp_path / "endpoints.json", tmp_path / "mirrors.json", key.with_suffix(".pub")
    upload = ("publish", "--public", public, "--list", file, "--mirrors", places)
    with static_host(tmp_path / "a") as web, empty_server() as store:
        client("s3", store).create_bucket(Bucket="lists")
        client("s3", store).put_bucket_policy(Bucket="lists", Policy=json.dumps(FOR_ALL))
        s3 = {"endpoint_url": store, "bucket": "lists", "key": "l.json", "access_key_id": "x", "secret_access_key": "y"}
        owner = {"Authorization": "Basic owner"}
        kept: list[dict[str, Any]] = [
            {"address": f"{web}/l.json", "put": f"{web}/l.json", "headers": owner},
            {"address": f"{store}/lists/l.json", "s3": s3},
            {"address": f"{web}/closed.json", "put": f"{web}/closed.json", "headers": owner},
            {"address": f"{web}/stranger.json", "put": f"{web}/stranger.json"},
            {"address": "http://127.0.0.1:9/l.json", "put": "http://127.0.0.1:9/l.json"},
        ]
        places.write_text(json.dumps(kept))
        signed(command, key, file)
        assert "Sign it again with --mirror" in command(*upload)["failed"]
        mirrors = [word for one in kept for word in ("--mirror", one["address"])]
        signed(command, key, file, *mirrors, "--mirror", "https://forgotten.example/l.json")
        found = command(*upload)
        assert [found["mirrors"][one["address"]] for one in kept[:2]] == ["written", "written"]
        assert "browsers may not read it" in found["problems"][f"{web}/closed.json"]
        assert "status 401" in found["problems"][f"{web}/stranger.json"]
        assert "refused" in found["problems"]["http://127.0.0.1:9/l.json"]
        assert "nobody said" in found["problems"]["https://forgotten.example/l.json"]
        old = file.read_bytes()
        places.write_text(json.dumps(kept[:2]))
        signed(command, key, file, *mirrors[:4])
        assert set(command(*upload)["mirrors"].values()) == {"written"}
        assert command(*upload)["problems"] == {}
        assert set(command(*upload)["mirrors"].values()) == {"already there"}
        fetched = command("fetch", "--public", public, "--seen", tmp_path / "seen", *mirrors[1:4:2])
        assert (fetched["version"], fetched["problems"]) == (3, [])
        file.write_bytes(old)
        places.write_text(json.dumps(kept[:1]))
        assert "version 3, which is newer" in command(*upload)["problems"][f"{web}/l.json"]


def test_the_site_serves_the_list_and_takes_a_newer_one_only(
    sites: Callable[[], Site], tmp_path: Path, key: Path, command: Command
) -> None:
    """As JSON for clients on any site, as a page for people; a file that somebody changed on the host is not served."""
    site = sites()
    file = tmp_path / "endpoints.json"
    signed(command, key, file, "--notice", "All is well.", "--mirror", "https://elsewhere.example/l.json")
    site.settings |= {"ENDPOINTS": str(file), "ENDPOINTS_KEY": str(key.with_suffix(".pub"))}
    site.start()
    with site.http() as http:
        answer = http.get("/endpoints.json")
        assert answer.text == file.read_text()
        assert answer.headers["access-control-allow-origin"] == "*"
        assert http.get("/endpoints.pub").text == key.with_suffix(".pub").read_text()
        page = http.get("/endpoints").text
        assert "All is well." in page
        assert "https://elsewhere.example/l.json" in page
        good = file.read_text()
        file.write_text(good.replace("plaza.example", "pl4za.example!"))
        assert http.get("/endpoints.json").text == good
        file.write_text(good)
        signed(command, key, file, "--notice", "We move tonight.")
        wait_until(lambda: "We move tonight." in http.get("/endpoints").text)


def test_a_site_without_a_list_says_so(plaza: Site) -> None:
    """Nothing to follow is 404 for clients and a sentence for people."""
    assert httpx.get(plaza.base + "/endpoints.json").status_code == 404
    assert httpx.get(plaza.base + "/endpoints.pub").status_code == 404
    assert "have not signed a list" in httpx.get(plaza.base + "/endpoints").text
