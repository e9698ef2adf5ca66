"""What a vault makes of answers: a closed account is one thing, a refusal or an outage another."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from threading import Thread
from typing import Any

import pytest
from urllib3.util import connection, wait

from resilience.errors import ResilienceError, VaultError, VaultSilent, VendorClosed
from resilience.model import VaultSpec
from resilience.ports import Vault
from resilience.replication.vaults import open_vault

CREDENTIALS = {"s3": {"access_key_id": "a", "secret_access_key": "b"}, "gcs": {"token": "t"}}
HTML = "<!doctype html><title>403</title>That's an error."
LINE = 4 << 20
"""Bytes a second; what the kernel keeps for a connection that waits is less than a second's."""
MADE = '{"generation": "1"}'
Ask = Callable[[Any], object]
ASKS: dict[str, Ask] = {
    "put": lambda vault: vault.put_new("epoch/1", b"x"),
    "get": lambda vault: vault.get("epoch/1"),
    "list": lambda vault: vault.list("epoch/"),
}


def xml(code: str) -> str:
    """An S3 error body."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>Said so.</Message></Error>'


def google(code: int, message: str, reason: str) -> str:
    """A GCS error body."""
    return json.dumps({"error": {"code": code, "message": message, "errors": [{"message": message, "reason": reason}]}})


@contextmanager
def answering(
    kind: str,
    status: int,
    body: str,
    asked: list[str | None] | None = None,
    then: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Vault]:
    """A vault whose store gives one answer to everything, or another from the second on, and notes what each request expects first."""
    later = (status, body) if then is None else (then, MADE if kind == "gcs" else "")
    answers = chain([(status, body)], repeat(later))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if asked is not None:
                asked.append(self.headers.get("Expect"))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer, said = next(answers)
            self.send_response(answer)
            self.send_header("Content-Type", "application/json" if said.startswith("{") else "application/xml")
            self.send_header("Content-Length", str(len(said)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.encode())

        do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks at what the vault says."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    spec = VaultSpec("elm", "elm-corp", kind, f"http://127.0.0.1:{server.server_port}", "vault")  # type: ignore[arg-type]
    try:
        yield open_vault(spec, CREDENTIALS[kind])
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("said", [xml("InternalError"), HTML])
def test_an_error_that_comes_with_200(said: str) -> None:
    """A store, or what stands before it, that has trouble may say so with the status of success: nothing was made."""
    with answering("s3", 200, said) as vault, pytest.raises(VaultSilent):
        vault.put_new("epoch/1", b"x")


def test_a_large_object_by_a_narrow_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for before it is sent, and goes once, however long it takes as long as it goes on."""
    seen: list[tuple[bool, int]] = []
    patient = wait.wait_for_read  # the client asks it for a second at most, which a busy machine may take for itself
    monkeypatch.setattr("urllib3.util.wait_for_read", lambda line, _: patient(line, 60))

    def take(server: socket.socket) -> None:
        line, _ = server.accept()
        with line, line.makefile("rb") as come:
            line.settimeout(60)
            told = dict(
                row.lower().split(b": ", 1) for row in iter(lambda: come.readline().strip(), b"") if b": " in row
            )
            asked = not select.select([line], [], [], 0.2)[0]
            line.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            began, got, size = time.monotonic(), 0, int(told[b"content-length"])
            while got < size and (piece := come.read1(1 << 16)):
                got += len(piece)
                time.sleep(max(0.0, began + got / LINE - time.monotonic()))  # the line is as narrow as that
            seen.append((asked, got))
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        Thread(target=take, args=(server,), daemon=True).start()
        spec = VaultSpec("elm", "elm-corp", "s3", f"http://127.0.0.1:{server.getsockname()[1]}", "vault")
        assert open_vault(spec, CREDENTIALS["s3"]).put_new("wal/1", bytes(3 * LINE))
    assert seen == [(True, 3 * LINE)]


def test_a_body_waits_for_no_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers and body are sent one after the other: a connection that gathers what is small adds 40 ms to each commit."""
    made: list[int] = []

    def noting(*arguments: Any, **options: Any) -> socket.socket:
        line = connect(*arguments, **options)
        made.append(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return line

    connect = connection.create_connection
    monkeypatch.setattr(connection, "create_connection", noting)
    monkeypatch.setattr("resilience.adapters.s3_direct.Direct.put_new", lambda *_: None)  # the client is asked
    with answering("s3", 200, "") as vault:
        assert vault.put_new("wal/1", b"x")
    assert made
    assert all(made)


@pytest.mark.parametrize(("size", "expects"), [(1, None), (100_000, None), (2 << 20, "100-continue")])
def test_a_small_object_is_one_journey(size: int, expects: str | None) -> None:
    """A commit waits for it: only what is large asks the store first whether it would take it."""
    asked: list[str | None] = []
    with answering("s3", 200, "", asked) as vault:
        assert vault.put_new("wal/1", b"x" * size)
    assert asked == [expects]


CLOSED = [
    ("s3", xml("AccountProblem"), "AccountProblem"),
    ("s3", xml("AllAccessDisabled"), "AllAccessDisabled"),
    ("s3", xml("UserSuspended"), "UserSuspended"),
    ("s3", xml("AccountIsDisabled"), "AccountIsDisabled"),
    ("gcs", google(403, "The GCP account is suspended.", "GCP_SUSPENDED"), "GCP_SUSPENDED"),
    (
        "gcs",
        google(403, "The billing account for the owning project is disabled", "accountDisabled"),
        "accountDisabled",
    ),
    ("gcs", google(403, "Consumer has been suspended.", "CONSUMER_SUSPENDED"), "CONSUMER_SUSPENDED"),
]


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(("kind", "body", "code"), CLOSED)
def test_a_closed_account_is_told_by_its_code(kind: str, body: str, code: str, ask: str) -> None:
    """The vendor and its own word for it, whatever was asked."""
    with answering(kind, 403, body) as vault, pytest.raises(VendorClosed) as caught:
        ASKS[ask](vault)
    assert (caught.value.vendor, caught.value.code) == ("elm-corp", code)


OTHER = [
    ("s3", 403, xml("AccessDenied")),
    ("s3", 403, HTML),
    ("s3", 403, xml("NotSignedUp")),
    ("s3", 403, xml("AccountSuspended")),
    ("s3", 403, xml("OptInRequired")),
    ("s3", 460, '{"class":"Client::ResourceExpired","message":"This service is expired"}'),
    ("gcs", 403, google(403, "The project is not known", "USER_PROJECT_DENIED")),
    ("s3", 401, xml("InvalidClientTokenId")),
    ("gcs", 403, google(403, "t does not have storage.objects.create access", "forbidden")),
    ("gcs", 403, HTML),
    ("gcs", 401, google(401, "Invalid Credentials", "authError")),
]


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(("kind", "status", "body"), OTHER)
def test_a_refusal_is_no_closed_account(kind: str, status: int, body: str, ask: str) -> None:
    """Missing rights and unknown 403s are a vault's error that names vault and key; never an absence, never a closing."""
    with answering(kind, status, body) as vault, pytest.raises(VaultError, match="elm could not") as caught:
        ASKS[ask](vault)
    assert "epoch/" in caught.value.what


WORDS = [
    ("s3", 400, xml("ExpiredToken"), "The credentials have expired"),
    ("s3", 403, xml("RequestTimeTooSkewed"), "This machine's clock is off"),
    ("s3", 403, xml("SignatureDoesNotMatch"), "The vendor does not take these credentials"),
    ("s3", 403, xml("AccessDenied"), "The credentials lack a right"),
    (
        "gcs",
        403,
        google(403, "s@p does not have storage.objects.get access", "forbidden"),
        "The credentials lack a right",
    ),
    ("gcs", 401, google(401, "Invalid Credentials", "authError"), "The credentials have expired"),
]


@pytest.mark.parametrize(("kind", "status", "body", "words"), WORDS)
def test_a_refusal_is_told_in_words(kind: str, status: int, body: str, words: str) -> None:
    """Expired, refused, without a right, or signed by a clock that is off: said first, with the vendor's own words behind."""
    with answering(kind, status, body) as vault, pytest.raises(VaultError) as caught:
        vault.get("epoch/1")
    assert caught.value.why.startswith(words)
    assert "whether its bucket is yours" in caught.value.next
    assert "vaults/elm.json" in caught.value.next


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_an_outage_is_an_error_after_a_few_tries(kind: str) -> None:
    """A store that answers 503 to everything is given up on within seconds."""
    with answering(kind, 503, "") as vault, pytest.raises(ResilienceError, match="could not get"):
        vault.get("epoch/1")


CONFLICTS = [
    ("s3", xml("ConditionalRequestConflict")),
    ("s3", xml("OperationAborted")),
    ("s3", ""),
    ("gcs", google(409, "The object was changed while the operation was under way.", "conflict")),
]


@pytest.mark.parametrize(("kind", "body"), CONFLICTS)
def test_a_conflict_is_no_object(kind: str, body: str) -> None:
    """409 says that another create of the same object is under way, not that one went through: it is tried a few times, and an error."""
    asked: list[str | None] = []
    with answering(kind, 409, body, asked) as vault, pytest.raises(VaultSilent, match="could not put epoch/1"):
        vault.put_new("epoch/1", b"x")
    assert 1 < len(asked) < 20


@pytest.mark.parametrize(("kind", "body"), CONFLICTS)
@pytest.mark.parametrize("then", [200, 412])
def test_a_conflict_that_ends_is_not_told(kind: str, body: str, then: int) -> None:
    """The other create died, and ours goes through; or it went through, and the store says at the next try that it did."""
    with answering(kind, 409, body, then=then) as vault:
        assert vault.put_new("epoch/1", b"x") is (then == 200)


EVERY: dict[str, Ask] = {
    **ASKS,
    "exists": lambda vault: vault.exists("epoch/1"),
    "delete": lambda vault: vault.delete("epoch/1"),
    "erase": lambda vault: vault.erase("epoch/1"),
    "hidden": lambda vault: vault.hidden("epoch/"),
    "put over": lambda vault: vault.put_over("epoch/1", b"x"),
}
OF_S3: dict[str, Ask] = {
    **EVERY,
    "first": lambda vault: vault.first("epoch/1"),
    "written over": lambda vault: vault.written_over(),
    "remove versions": lambda vault: vault.remove_versions("epoch/1", ["v"]),
}
PAGE = "<html><body>down for maintenance</body></html>"
WORD = "<R><Error>x</Error></R>"
ENTRY = "<ListBucketResult><Contents>{}</Contents></ListBucketResult>"
ELSEWHERE = {"Location": "http://127.0.0.1:9/"}
NOTHING: Mapping[str, str] = {}
READ = frozenset({"get"})
"""What is got proves itself, whatever it is."""
NO_BODY = frozenset({"exists"})
"""A HEAD is answered by its status alone."""
ODD_S3 = [
    (200, PAGE, NOTHING, READ),
    (200, "<junk", NOTHING, READ),
    (200, "junk", NOTHING, READ),
    *((200, ENTRY.format(f"<Key>a</Key>{more}"), NOTHING, READ) for more in ("<Size>z</Size>", "<Key>b</Key>")),
    (200, ENTRY.format("<Key>a</Key><LastModified>z</LastModified>"), NOTHING, READ),
    (200, ENTRY.format("<Size>1</Size>"), NOTHING, READ),
    (200, "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", NOTHING, READ),
    (404, WORD, NOTHING, NO_BODY),
    (404, PAGE, NOTHING, NO_BODY),
    (403, WORD, NOTHING, frozenset[str]()),
    *((status, PAGE, ELSEWHERE, frozenset[str]()) for status in (301, 302, 303, 307, 308)),
    (400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>../x</Region></Error>", NOTHING, frozenset[str]()),
]
GONE = frozenset({"get", "exists", "delete"})
ITEMS: list[object] = [5, [{}], ["a"], [5]]
ODD_GCS = [
    *((200, body, NOTHING, READ) for body in ("[]", "[1]", '"x"', "{}", '{"kind": "x"}', PAGE)),
    *((200, json.dumps({"kind": "storage#objects", "items": told}), NOTHING, READ) for told in ITEMS),
    *((403, body, NOTHING, frozenset[str]()) for body in ("[1]", '{"error": "x"}', '{"error": {"errors": 5}}')),
    *((404, body, NOTHING, GONE) for body in ("[1]", '{"error": "x"}', '{"error": {"errors": [5]}}')),
    *((status, PAGE, ELSEWHERE, frozenset[str]()) for status in (301, 302, 303, 307, 308)),
]


@pytest.mark.parametrize(
    ("kind", "asks", "status", "body", "headers", "taken"),
    [*(("s3", OF_S3, *odd) for odd in ODD_S3), *(("gcs", EVERY, *odd) for odd in ODD_GCS)],
)
def test_an_odd_answer_is_the_vaults_error(
    kind: str, asks: dict[str, Ask], status: int, body: str, headers: Mapping[str, str], taken: frozenset[str]
) -> None:
    """Whatever stands in a store's place and whatever it says: no crash of ours, no success, no empty listing, few requests."""
    asked: list[str | None] = []
    with answering(kind, status, body, asked, headers=headers) as vault:
        told = {name: _told(vault, ask) for name, ask in asks.items()}
    wrong = {name: answer for name, answer in told.items() if name not in taken and "elm could not" not in answer}
    assert not wrong
    assert len(asked) < 4 * len(asks)


def _told(vault: Vault, ask: Ask) -> str:
    try:
        return f"answered {ask(vault)!r}"
    except VaultError as error:
        return error.what
    except Exception as error:  # noqa: BLE001 - whatever came instead is what the test is about
        return f"crashed: {error!r}"


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_redirect_says_where_it_leads(kind: str) -> None:
    """Nobody is sent elsewhere with our credentials; whoever moved a bucket has the fleet file to say so."""
    with answering(kind, 307, "", headers=ELSEWHERE) as vault, pytest.raises(VaultError) as caught:
        vault.list("epoch/")
    assert "307, a redirect to http://127.0.0.1:9/" in caught.value.why
    assert not isinstance(caught.value, VaultSilent)


@contextmanager
def pouring(kind: str, status: str) -> Iterator[Vault]:
    """A vault whose store answers everything with 64 MiB, of which it does not say how much they are."""

    def pour(server: socket.socket) -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            with line, suppress(OSError):
                line.recv(1 << 16)
                line.sendall(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\r\n".encode())
                for _ in range(64):
                    line.sendall(bytes(1 << 20))

    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=pour, args=(server,), daemon=True).start()
        spec = VaultSpec("elm", "elm-corp", kind, f"http://127.0.0.1:{server.getsockname()[1]}", "vault")  # type: ignore[arg-type]
        yield open_vault(spec, CREDENTIALS[kind])
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "403 Forbidden"])
@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_what_a_vault_gives_has_a_bound(kind: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is asked, and whether it gives an object, a listing or its reasons: nobody's memory is filled."""
    monkeypatch.setattr("resilience.adapters.bounded.LARGEST", 8 << 20)
    with pouring(kind, status) as vault:
        for name in ("get", "list"):
            with pytest.raises(
                VaultError, match="more than 1 MiB" if (name, status[:3]) == ("get", "200") else "more than [18] MiB"
            ):
                ASKS[name](vault)


def test_an_object_is_not_unpacked() -> None:
    """What its store calls packed is got as it lies there: a few bytes can be unpacked to any size."""
    packed = {"Content-Encoding": "gzip"}
    with answering("gcs", 200, "as it is", headers=packed) as vault:
        assert vault.get("epoch/1") == b"as it is"
