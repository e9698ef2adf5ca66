"""The direct way to an S3 store: whom it trusts, what it sends, and that nobody waits for it who wants to leave."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from resilience.adapters.s3_direct import Absent, Direct
from resilience.errors import VaultError
from resilience.model import VaultSpec
from resilience.ports import Vault
from resilience.replication.vaults import open_vault
from tests.aws_server import aws_server
from tests.replication.harness import wait_until
from tests.vault_proxy import Proxy, proxy
from tests.vault_servers import Store, make_bucket, seaweed

MOST = 1 << 20
LONG_S = 3600


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One SeaweedFS."""
    with seaweed(tmp_path_factory.mktemp("store")) as running:
        yield running


def certificate(folder: Path) -> Path:
    """One for 127.0.0.1 that nobody signed but itself, with its key in the same file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "store.pem"
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return path


@contextmanager
def between(store: Store, name: str, tls: ssl.SSLContext | None = None) -> Iterator[tuple[Proxy, VaultSpec]]:
    """A new bucket behind a proxy."""
    spec = make_bucket(store, name)
    with proxy(spec.endpoint, tls) as standing:
        yield standing, replace(spec, endpoint=standing.endpoint)


def opened(store: Store, spec: VaultSpec) -> tuple[Vault, Direct]:
    """The vault, and its direct way."""
    vault = open_vault(spec, store.credentials["operator"])
    return vault, vault._direct  # type: ignore[attr-defined]


def test_it_trusts_whom_the_client_trusts(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of one's own has a certificate of one's own: `AWS_CA_BUNDLE` names it, and without it nothing is sent."""
    shown = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(shown)
    with between(store, "tls", tls) as (standing, spec):
        vault, direct = opened(store, spec)
        assert direct.put_new("wal/1", b"whole") is None
        with pytest.raises(VaultError, match="could not put wal/1"):
            vault.put_new("wal/1", b"whole")
        assert standing.requests == 0
        monkeypatch.setenv("AWS_CA_BUNDLE", str(shown))
        _, direct = opened(store, spec)
        assert direct.put_new("wal/1", b"whole") is True
        assert direct.put_new("wal/1", b"other") is False
        assert direct.get("wal/1", MOST) == b"whole"
        assert isinstance(direct.get("wal/2", MOST), Absent)


def test_a_name_of_any_letters_is_signed_as_the_store_reads_it(store: Store) -> None:
    """A listing may tell of names that are none of ours."""
    _, direct = opened(store, make_bucket(store, "names"))
    for key in ("wal/a b", "wal/ä+=&?#%25", "wal/~.-_'()*", "wal/a//b"):
        assert direct.put_new(key, key.encode()) is True, key
        assert direct.get(key, MOST) == key.encode(), key


@pytest.mark.parametrize("key", ["wal/../order/1", "./order/1", "wal/.", ".."])
def test_a_name_with_dots_is_no_other_name(store: Store, key: str) -> None:
    """Whoever lists `wal/../order/1` gets no order by it: the client is asked, who sends a name as it is."""
    with between(store, f"dots{len(key)}") as (standing, spec):
        _, direct = opened(store, spec)
        assert direct.get(key, MOST) is None
        assert direct.put_new(key, b"") is None
        assert standing.requests == 0


def test_whoever_interrupts_need_not_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a vault hangs: what its handler raises ends the request, which else would take an hour."""
    monkeypatch.setattr("resilience.adapters.s3_direct.TIMEOUTS_S", (2, LONG_S))
    heard = threading.Event()

    def leave(*_: object) -> None:
        heard.set()
        raise KeyboardInterrupt

    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGUSR1, leave)
    try:
        with between(store, "hang") as (standing, spec):
            _, direct = opened(store, spec)
            standing.hang.clear()

            def interrupt() -> None:
                wait_until(lambda: standing.requests, "the request to be under way")
                signal.pthread_kill(main, signal.SIGUSR1)

            later = threading.Thread(target=interrupt)
            later.start()
            try:
                with pytest.raises(KeyboardInterrupt):
                    direct.get("wal/1", MOST)
            finally:
                standing.hang.set()
                later.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard.is_set()


def test_aws_takes_its_signature() -> None:
    """As AWS' own library computes it: what that one leaves unsigned, since somebody on the way may alter it, is not signed here."""
    with aws_server("signed") as aws:
        _, direct = opened(aws, replace(aws.spec("signed"), bucket="signed"))
        assert direct.put_new("wal/1", b"whole") is True
        assert direct.put_new("wal/2", bytes(3 << 20)) is True
        assert direct.get("wal/1", MOST) == b"whole"
        assert isinstance(direct.get("wal/3", MOST), Absent)


def test_a_small_body_goes_with_its_headers(store: Store) -> None:
    """One sent after the other waits for an acknowledgement of the first, which a store gives after 40 ms."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        spec = replace(make_bucket(store, "once"), endpoint=f"http://127.0.0.1:{listening.getsockname()[1]}")
        _, direct = opened(store, spec)
        putting = threading.Thread(target=direct.put_new, args=("wal/1", b"a chunk"))
        putting.start()
        connection, _ = listening.accept()
        with connection:
            came = connection.recv(65536)
        putting.join()
    assert came.startswith(b"PUT /once/wal/1 HTTP/1.1\r\n")
    assert came.endswith(b"\r\n\r\na chunk")


class Ending(threading.Thread):
    """Passes one connection's bytes on to a store, and ends it when told: as a store ends what is idle."""

    def __init__(self, target: str) -> None:
        super().__init__(daemon=True)
        self._target = urlsplit(target)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.accepted = 0
        self._open: list[socket.socket] = []

    def run(self) -> None:
        """One connection after another, until the listener ends."""
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                self.accepted += 1
                far = socket.create_connection((self._target.hostname or "", self._target.port or 0))
                self._open += near, far
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def end_all(self) -> None:
        """What is open is no more."""
        while self._open:
            one = self._open.pop()
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        """Nobody is let in any more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.end_all()


def test_a_connection_that_the_store_ended_is_made_anew(store: Store) -> None:
    """One is used again and again; what is put once the store ended it is put once, and told so."""
    spec = make_bucket(store, "ended")
    standing = Ending(spec.endpoint)
    standing.start()
    try:
        _, direct = opened(store, replace(spec, endpoint=standing.endpoint))
        assert direct.put_new("wal/1", b"one") is True
        assert direct.get("wal/1", MOST) == b"one"
        assert standing.accepted == 1
        standing.end_all()
        assert direct.put_new("wal/2", b"two") is True
        assert direct.get("wal/2", MOST) == b"two"
        assert standing.accepted == 2
    finally:
        standing.close()
