"""What probing a vault finds: at stores that do what is needed, and at ones that do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from resilience.adapters.budget import budgets
from resilience.adapters.memory_vault import MemoryVault
from resilience.adapters.vendor_clients import paced
from resilience.engine.probe import probe, probe_mirror
from resilience.errors import VaultError, VaultSilent
from resilience.model import VaultSpec
from resilience.model.probe import Probe
from resilience.ports import Vault
from resilience.replication.vaults import open_vault
from tests.aws_server import aws_server
from tests.sftp_box import sftp_box
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
    budget = budgets("vault")("amazon")
    principals = {who: paced(vault, budget) for who, vault in _principals(stores["aws"]).items()}
    seen = probe("elm", principals)
    assert budget.sent < budget.allowance.requests / 4, "about twenty requests a vault"
    assert {trial.name: trial.said for trial in seen.trials if trial.outcome != "pass"} == {}
    assert len(seen.trials) == 10
    assert seen.counts
    assert seen.well
    assert principals["operator"].list("wal/00000000/") == []
    assert principals["operator"].list("restic/00000000/") == []


@pytest.mark.parametrize("kind", ["seaweed", "gcs"])
def test_a_store_that_refuses_nobody_is_told(stores: dict[str, Store], kind: str) -> None:
    """The store counts, since it creates once; that ship may delete and read there is a failure by name, with advice."""
    seen = probe("elm", _principals(stores[kind]))
    found = _found(seen)
    assert seen.counts
    assert not seen.well
    assert found["ship-may-not-delete"] == found["ship-may-not-read"] == found["ship-may-not-read-snapshots"] == "fail"
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


class Busy(MemoryVault):
    """A store that has no time for some: neither done nor refused."""

    def delete(self, key: str) -> None:
        """Another time."""
        raise VaultSilent("elm could not delete", "SlowDown", "Try again.")


def test_silence_is_no_refusal(stores: dict[str, Store]) -> None:
    """A store that is too busy to answer did not show that it refuses: that is unknown, and never passed."""
    seen = probe("elm", {"operator": MemoryVault("elm"), "ship": Busy("elm"), "reader": Busy("elm")})
    assert {_found(seen)[who] for who in ("ship-may-not-delete", "reader-may-not-delete")} == {"unknown"}
    gone = stores["seaweed"].spec(BUCKET)
    nobody = open_vault(replace(gone, endpoint="http://127.0.0.1:9"), stores["seaweed"].credentials["ship"])
    with pytest.raises(VaultSilent):
        nobody.delete("key")


class Backblaze(BaseHTTPRequestHandler):
    """An S3 store that answers 501 to a conditional create, as Backblaze B2 does."""

    held: ClassVar[dict[str, bytes]] = {}
    listed = "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>"
    refusal = (
        b"<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality.</Message></Error>"
    )

    def do_PUT(self) -> None:
        """Refuse a condition; else write over."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("If-None-Match"):
            self._answer(501, self.refusal)
        else:
            self.held[self.path] = body
            self._answer(200, b"")

    def do_GET(self) -> None:
        """An object, all of them, or none."""
        if "list-type" in self.path:
            keys = "".join(f"<Contents><Key>{path.partition('/vault/')[2]}</Key></Contents>" for path in self.held)
            self._answer(200, self.listed.format(keys).encode())
        elif self.path in self.held:
            self._answer(200, self.held[self.path])
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        """Whether it is there."""
        self._answer(200 if self.path in self.held else 404, b"")

    def do_DELETE(self) -> None:
        """Gone."""
        self.held.pop(self.path, None)
        self._answer(204, b"")

    def _answer(self, status: int, said: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("ETag", '"e"')
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Nothing: the test looks at what the probe says."""


@pytest.fixture
def backblaze() -> Iterator[Vault]:
    """A vault there, as its operator sees it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backblaze)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        spec = VaultSpec("b2", "b2", "s3", f"http://127.0.0.1:{server.server_port}", "vault")
        yield open_vault(spec, {"access_key_id": "a", "secret_access_key": "b"})
    finally:
        server.shutdown()
        server.server_close()
        Backblaze.held.clear()


def test_a_store_that_does_not_know_conditional_create_never_counts(backblaze: Vault) -> None:
    """Backblaze B2 answers 501 to a conditional create: a failure, no outage."""
    seen = probe("b2", {"operator": backblaze})
    assert _found(seen)["conditional-create"] == "fail"
    assert not seen.counts


def test_the_same_store_is_a_good_mirror(backblaze: Vault) -> None:
    """What a mirror takes it does: written, read back, listed. That it creates nothing once is said, and excused."""
    seen = probe_mirror("b2", {"operator": backblaze})
    assert _found(seen) == {"read-after-write": "pass", "conditional-create": "fail", "operator-may-delete": "pass"}
    assert seen.well
    assert not seen.counts
    assert backblaze.list("") == []


def test_an_sftp_box_is_a_mirror_and_its_reader_only_reads() -> None:
    """A real SFTP server: each account does what it must; one that reads and writes alike is told, with advice."""
    with sftp_box() as box:
        accounts = {who: open_vault(box.spec("attic"), box.credentials[who]) for who in ("operator", "reader")}
        seen = probe_mirror("attic", accounts)
        alike = probe_mirror("attic", {**accounts, "reader": accounts["operator"]})
    assert [trial.name for trial in seen.trials if trial.outcome != "pass"] == []
    assert len(seen.trials) == 5
    assert (seen.well, seen.counts) == (True, False), "however well it does, SFTP promises no conditional create"
    (told, _) = (trial for trial in alike.trials if trial.outcome != "pass")
    assert "leave reader out of the kit" in told.next


def test_a_store_nobody_reaches_is_unknown() -> None:
    """An outage proves nothing: unknown, and it does not count."""

    class Out(MemoryVault):
        def get(self, key: str) -> bytes | None:
            raise VaultError("elm could not get", "no answer", "Wait.")

    seen = probe("elm", {"operator": Out("elm")})
    assert _found(seen)["read-after-write"] == "unknown"
    assert not seen.counts
