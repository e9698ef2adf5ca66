"""What probing a vault finds: at stores that do what is needed, and at ones that do not."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.engine.probe import probe
from resilience.errors import VaultError
from resilience.model import VaultSpec
from resilience.model.probe import Probe
from resilience.ports import Vault
from resilience.replication.vaults import open_vault
from tests.aws_server import aws_server
from tests.vault_servers import Store, fake_gcs, make_bucket, seaweed

BUCKET = "probed"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    """Real stores: AWS with our policies, SeaweedFS and fake-gcs without."""
    folder: Path = tmp_path_factory.mktemp("probed")
    with seaweed(folder / "s3") as s3, fake_gcs(folder / "gcs") as gcs, aws_server(BUCKET) as aws:
        make_bucket(s3, BUCKET)
        make_bucket(gcs, BUCKET)
        yield {"seaweed": s3, "gcs": gcs, "aws": aws}


def _principals(store: Store) -> dict[str, Vault]:
    return {who: open_vault(store.spec(BUCKET), store.credentials[who]) for who in ("ship", "reader", "operator")}


def _found(seen: Probe) -> dict[str, str]:
    return {trial.name: trial.outcome for trial in seen.trials}


def test_aws_with_our_policies_passes_every_trial(stores: dict[str, Store]) -> None:
    """Written once, read back, and refused to whom it must be: nothing is left behind."""
    principals = _principals(stores["aws"])
    seen = probe("elm", principals)
    assert {trial.name: trial.said for trial in seen.trials if trial.outcome != "pass"} == {}
    assert len(seen.trials) == 9
    assert seen.counts
    assert seen.well
    assert principals["operator"].list("wal/00000000/") == []


@pytest.mark.parametrize("kind", ["seaweed", "gcs"])
def test_a_store_that_refuses_nobody_is_told(stores: dict[str, Store], kind: str) -> None:
    """The store counts, since it creates once; that ship may delete and read there is a failure by name, with advice."""
    seen = probe("elm", _principals(stores[kind]))
    found = _found(seen)
    assert seen.counts
    assert not seen.well
    assert found["ship-may-not-delete"] == found["ship-may-not-read"] == "fail"
    assert found["written-over-survives"] == "fail", "its bucket keeps no versions"
    advice = {trial.name: trial.next for trial in seen.trials if trial.outcome == "fail"}
    assert "keep versions" in advice.pop("written-over-survives")
    assert all("threat-model" in told for told in advice.values())


class Forgetful(MemoryVault):
    """A store without conditional create: the second put wins."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Put, whatever is there."""
        self.delete(key)
        return super().put_new(key, data)


class Late(MemoryVault):
    """A store that shows a new object only later."""

    def get(self, key: str) -> bytes | None:
        """Not yet."""
        return None


class Once(MemoryVault):
    """A store that says it refused the second create, and kept it."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Put always, and say the truth never."""
        first = not self.exists(key)
        self.delete(key)
        super().put_new(key, data)
        return first


@pytest.mark.parametrize(
    ("store", "lacks"),
    [(Forgetful, "conditional-create"), (Once, "conditional-create"), (Late, "read-after-write")],
)
def test_a_store_without_the_two_never_counts(store: type[MemoryVault], lacks: str) -> None:
    """No conditional create, or no read after write: it may hold copies, and the probe says so."""
    seen = probe("elm", {"operator": store("elm")})
    trial = next(trial for trial in seen.trials if trial.name == lacks)
    assert (trial.outcome, seen.counts) == ("fail", False)
    assert "copies_only" in trial.next


def test_a_store_that_does_not_know_conditional_create_never_counts() -> None:
    """Backblaze B2 answers 501 to a conditional create: a failure, no outage."""
    body = b"<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality.</Message></Error>"

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(501 if self.headers.get("If-None-Match") else 200, body)

        def do_GET(self) -> None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

        def do_HEAD(self) -> None:
            self._answer(404, b"")

        do_DELETE = do_GET  # noqa: N815 - the base class's name

        def _answer(self, status: int, said: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks at what the probe says."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        spec = VaultSpec("b2", "b2", "s3", f"http://127.0.0.1:{server.server_port}", "vault")
        seen = probe("b2", {"operator": open_vault(spec, {"access_key_id": "a", "secret_access_key": "b"})})
    finally:
        server.shutdown()
        server.server_close()
    found = _found(seen)
    assert found["conditional-create"] == "fail"
    assert not seen.counts


def test_a_store_nobody_reaches_is_unknown() -> None:
    """An outage proves nothing: unknown, and it does not count."""

    class Out(MemoryVault):
        def get(self, key: str) -> bytes | None:
            raise VaultError("elm could not get", "no answer", "Wait.")

    seen = probe("elm", {"operator": Out("elm")})
    assert _found(seen)["read-after-write"] == "unknown"
    assert not seen.counts
