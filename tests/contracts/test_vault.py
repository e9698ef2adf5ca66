"""What every vault promises, asked of the one in memory and of real stores alike."""

from __future__ import annotations

import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import EndpointConnectionError
from botocore.utils import parse_timestamp

from resilience.adapters.memory_vault import MemoryVault
from resilience.adapters.s3 import S3Vault, moment
from resilience.adapters.ssh import HostKeyMismatch
from resilience.engine.rehearsal import empty
from resilience.errors import Oversized, UsageError, VaultError
from resilience.model import VaultSpec
from resilience.model.rights import REHEARSALS
from resilience.ports import Vault
from resilience.replication import layout
from resilience.replication.mirrored import Mirrored
from resilience.replication.originals import Altered, AsPut, KeepsHidden, KeepsVersions, TellsLock, read_good
from resilience.replication.vaults import open_vault
from tests.plain_host import key_pair
from tests.sftp_box import Box, sftp_box
from tests.vault_proxy import proxy
from tests.vault_servers import Store, connections, fake_gcs, make_bucket, make_locked_bucket, seaweed

NAMES = (f"contract{n}" for n in count())


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    """A real store of each kind."""
    folder: Path = tmp_path_factory.mktemp("stores")
    with seaweed(folder / "s3") as s3, fake_gcs(folder / "gcs") as gcs:
        yield {"s3": s3, "gcs": gcs}


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """A real SFTP server."""
    with sftp_box() as made:
        yield made


@pytest.fixture(params=["memory", "s3", "gcs", "beneath", "sftp", "mirrored"])
def vault(request: pytest.FixtureRequest, stores: dict[str, Store], box: Box) -> Vault:
    """An empty vault of one kind; OpenSSH keeps what SFTP does not promise."""
    if request.param == "memory":
        return MemoryVault("memory")
    if request.param == "sftp":
        return open_vault(box.spec(next(NAMES)), box.credentials["operator"])
    if request.param == "mirrored":
        return open_vault(replace(box.spec(next(NAMES)), within="elm/"), box.credentials["operator"])
    if request.param == "beneath":
        spec = replace(make_bucket(stores["s3"], next(NAMES)), beneath="rehearsal/r1/")
        return open_vault(spec, stores["s3"].credentials["operator"])
    store = stores[request.param]
    return open_vault(make_bucket(store, next(NAMES)), store.credentials["operator"])


def test_what_was_put_is_got(vault: Vault) -> None:
    """A new object is created and read back byte by byte."""
    data = bytes(range(256)) * 999
    assert vault.put_new("wal/00000001/0000000001000000", data) is True
    assert vault.get("wal/00000001/0000000001000000") == data
    assert vault.exists("wal/00000001/0000000001000000")


def test_an_empty_object_is_an_object(vault: Vault) -> None:
    """Nothing to hold is not the same as not there."""
    assert vault.put_new("held", b"")
    assert vault.get("held") == b""


def _refuse_large(vault: Vault, key: str) -> None:
    """Three times what its kind may be, which is altered, without being taken into memory."""
    assert vault.put_new(key, bytes(3 * layout.most(key)))
    tracemalloc.start()
    with pytest.raises(Oversized, match=f"more than {layout.most(key) >> 20} MiB"):
        vault.get(key)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * layout.most(key)
    assert isinstance(read_good(vault, key, lambda data: data), Altered)


@pytest.mark.parametrize(
    "key", [layout.chunk(1, 1 << 24), layout.first(1), "label/00000001/1-abc.json", "order/ab.json"]
)
def test_what_is_larger_than_its_kind_is_altered(vault: Vault, key: str) -> None:
    """Whoever may only put must not end a reader by an object's size: it is told at once, and by another name than silence."""
    _refuse_large(vault, key)


def test_boto3_takes_no_more(stores: dict[str, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is asked wherever the direct way does not tell."""
    monkeypatch.setattr("resilience.adapters.s3_direct.Direct.get", lambda *_: None)
    store = stores["s3"]
    _refuse_large(open_vault(make_bucket(store, next(NAMES)), store.credentials["operator"]), layout.chunk(1, 1 << 24))


def test_objects_are_written_once(vault: Vault) -> None:
    """A second put is refused and leaves the first as it was."""
    assert vault.put_new("epoch/00000001.json", b"first")
    assert vault.put_new("epoch/00000001.json", b"second") is False
    assert vault.get("epoch/00000001.json") == b"first"


def test_absent_is_none(vault: Vault) -> None:
    """What was never put is absent, at once and without an error."""
    assert vault.get("epoch/00000009.json") is None
    assert vault.exists("epoch/00000009.json") is False


def test_read_after_write(vault: Vault) -> None:
    """A 404 seen before a put is not remembered after it."""
    for n in range(20):
        assert vault.get(f"wal/{n}") is None
        vault.put_new(f"wal/{n}", b"x")
        assert vault.get(f"wal/{n}") == b"x"


def test_one_winner(vault: Vault) -> None:
    """Of many who create the same object at once exactly one wins, and its bytes stay; a mirror has one writer."""
    if isinstance(vault, Mirrored):
        return
    won: list[int] = []
    gate = threading.Barrier(8)

    def race(n: int) -> None:
        gate.wait()
        if vault.put_new("epoch/00000002.json", f"racer {n}".encode()):
            won.append(n)

    racers = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(won) == 1
    assert vault.get("epoch/00000002.json") == f"racer {won[0]}".encode()


def test_lists_are_whole_and_in_order(vault: Vault) -> None:
    """Keys come back sorted, only those with the prefix, from nested folders too."""
    for key in ("wal/00000002/b", "wal/00000001/a", "wal/00000001/c/d", "walx", "media/1"):
        vault.put_new(key, b"x")
    assert vault.list("wal/") == ["wal/00000001/a", "wal/00000001/c/d", "wal/00000002/b"]
    assert vault.list("wal/00000001/") == ["wal/00000001/a", "wal/00000001/c/d"]
    assert vault.list("nothing/") == []


def test_times_of_what_s3_lists_cost_little(stores: dict[str, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore takes half of a listing's CPU to guess the form of each time; a store's own form is read without it."""
    spec = make_locked_bucket(stores["s3"], next(NAMES))
    vault = open_vault(spec, stores["s3"].credentials["operator"])
    vault.put_new("media/1", b"x")
    known = vault.client.list_object_versions(Bucket=spec.bucket)["Versions"][0]["LastModified"]  # type: ignore[attr-defined]
    assert abs(known.timestamp() - time.time()) < 3600
    monkeypatch.setattr("dateutil.parser.parse", lambda *_, **__: pytest.fail("a time's form was guessed"))
    assert vault.list("media/") == ["media/1"]
    assert AsPut(vault, lambda _: "media/").list("media/") == ["media/1"]


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-28T02:00:01Z",
        "2026-11-28T02:00:01.123Z",
        "2026-11-28T02:00:01.123456789Z",
        "2026-11-28T02:00:01+01:00",
        "20261128T020001Z",
        "Sat, 28 Nov 2026 02:00:01 GMT",
        "1795831201",
    ],
)
def test_a_time_is_what_botocore_says(told: str) -> None:
    """In whatever form a store tells it."""
    assert moment(told) == parse_timestamp(told)


def test_deleted_is_absent(vault: Vault) -> None:
    """A deleted object is gone, deleting it again is no error, and its name may be used again."""
    vault.put_new("media/1", b"x")
    vault.delete("media/1")
    vault.delete("media/1")
    assert vault.get("media/1") is None
    assert vault.put_new("media/1", b"y")


def test_erased_is_absent(vault: Vault) -> None:
    """An erased object is gone, erasing it again is no error, longer names stay, and its own may be used again."""
    for key in ("media/1", "media/11"):
        vault.put_new(key, b"x")
    vault.erase("media/1")
    vault.erase("media/1")
    assert vault.list("media/") == ["media/11"]
    assert vault.put_new("media/1", b"y")
    assert vault.get("media/1") == b"y"


def test_a_closed_vault_is_asked_no_more(vault: Vault) -> None:
    """Whoever goes on asking is told so, and no answer is taken for an absence."""
    assert vault.put_new("wal/1", b"one")
    vault.close()
    with pytest.raises(VaultError):
        vault.get("wal/1")
    with pytest.raises(VaultError):
        vault.put_new("wal/2", b"two")


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_closing_ends_connections_at_once(stores: dict[str, Store], kind: str) -> None:
    """They do not wait for Python to find that nobody needs them."""
    spec = make_bucket(stores[kind], next(NAMES))
    others = connections(os.getpid(), spec)  # of other tests' vaults, until Python finds that nobody needs them
    vault = open_vault(spec, stores[kind].credentials["operator"])
    assert vault.put_new("wal/1", b"one")
    assert (own := connections(os.getpid(), spec) - others)
    vault.close()
    assert not connections(os.getpid(), spec) & own


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_closing_ends_the_tries_of_a_request_under_way(stores: dict[str, Store], kind: str) -> None:
    """Both libraries try a failed request again, and once the vault is closed not; no thread of theirs goes on either."""
    store, before = stores[kind], set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as nobody, ThreadPoolExecutor(1) as pool:
        spec = replace(make_bucket(store, next(NAMES)), endpoint=f"http://127.0.0.1:{nobody.getsockname()[1]}")
        vault = open_vault(spec, store.credentials["operator"])
        asked = pool.submit(vault.exists, "wal/1")
        first, _ = nobody.accept()
        assert len(set(threading.enumerate()) - before) == 1
        vault.close()
        first.close()
        with pytest.raises(VaultError):
            asked.result()
        nobody.setblocking(False)
        with pytest.raises(BlockingIOError):
            nobody.accept()


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_dead_endpoint_is_an_error_never_an_absence(stores: dict[str, Store], kind: str) -> None:
    """Nobody answers: that is a VaultError that names the vault, not a None."""
    spec = replace(stores[kind].spec("gone"), endpoint="http://127.0.0.1:9")
    vault = open_vault(spec, stores[kind].credentials["operator"])
    with pytest.raises(VaultError, match="gone could not get epoch/1"):
        vault.get("epoch/1")


def test_half_an_object_is_an_error_never_an_object(stores: dict[str, Store]) -> None:
    """The connection ends half-way through a body: what came is not taken for the object."""
    spec = make_bucket(stores["s3"], next(NAMES))
    with proxy(spec.endpoint) as between:
        vault = open_vault(replace(spec, endpoint=between.endpoint), stores["s3"].credentials["operator"])
        assert vault.put_new("wal/1", b"whole")
        between.truncate = True
        with pytest.raises(VaultError, match="could not get wal/1"):
            vault.get("wal/1")
        between.be_well()
        assert vault.get("wal/1") == b"whole"


def test_a_body_that_keeps_coming_altered_is_given_to_be_judged(stores: dict[str, Store]) -> None:
    """Google's library makes an error of it; whoever reads tells it by signature or hash, as at any other store."""
    spec = make_bucket(stores["gcs"], next(NAMES))
    with proxy(spec.endpoint) as between:
        vault = open_vault(replace(spec, endpoint=between.endpoint), stores["gcs"].credentials["operator"])
        assert vault.put_new("wal/1", b"whole")
        between.flip = True
        assert vault.get("wal/1") == b"whold"
        assert vault.get("wal/2") is None
        between.be_well()
        assert vault.get("wal/1") == b"whole"


def test_a_put_that_ends_after_its_headers_puts_nothing(stores: dict[str, Store]) -> None:
    """As a ship that is killed there leaves it: what it puts again is taken, and is all that there is."""
    spec = make_bucket(stores["s3"], "cut")
    vault = open_vault(spec, stores["s3"].credentials["operator"])
    assert isinstance(vault, S3Vault)

    def send_headers_alone(request: AWSPreparedRequest, **_: object) -> None:
        """In the place of the request itself; no store says anything as long as it waits for more."""
        place = urlsplit(request.url)
        told = {**request.headers, "Host": place.netloc}.items()
        lines = [f"{name}: {value.decode() if isinstance(value, bytes) else value}" for name, value in told]
        with socket.create_connection((place.hostname, place.port)) as connection:
            connection.sendall("\r\n".join([f"PUT {place.path} HTTP/1.1", *lines, "", ""]).encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1024):
                pass
        raise EndpointConnectionError(endpoint_url=request.url, error="killed")

    vault.client.meta.events.register("before-send.s3.PutObject", send_headers_alone)
    with pytest.raises(VaultError):
        vault.put_new("wal/1", b"a chunk")
    vault.client.meta.events.unregister("before-send.s3.PutObject", send_headers_alone)
    assert vault.get("wal/1") is None
    assert vault.put_new("wal/1", b"a chunk")


def test_an_sftp_server_is_known_by_its_key(box: Box, tmp_path: Path) -> None:
    """Whoever answers with another key than the pinned one is no vault; a reader's account may only read."""
    spec, operator = box.spec(next(NAMES)), box.credentials["operator"]
    stranger = open_vault(spec, {**operator, "host_key": key_pair(tmp_path / "other")})
    with pytest.raises(VaultError, match="could not put epoch/1") as refused:
        stranger.put_new("epoch/1", b"x")
    assert isinstance(refused.value.__cause__, HostKeyMismatch)
    assert open_vault(spec, operator).put_new("epoch/1", b"x")
    reader = open_vault(spec, box.credentials["reader"])
    assert reader.get("epoch/1") == b"x"
    for attempt in (lambda: reader.put_new("epoch/2", b"x"), lambda: reader.delete("epoch/1")):
        with pytest.raises(VaultError, match="PermissionError"):
            attempt()


def test_a_reader_may_not_write(stores: dict[str, Store]) -> None:
    """A refusal of rights is an error, not a lost race."""
    spec = make_bucket(stores["s3"], next(NAMES))
    reader = open_vault(spec, stores["s3"].credentials["reader"])
    with pytest.raises(VaultError, match="AccessDenied"):
        reader.put_new("epoch/1", b"x")
    assert reader.get("epoch/1") is None


def test_credentials_of_the_wrong_kind_are_named(stores: dict[str, Store]) -> None:
    """Opening an S3 vault with a token says what is lacking."""
    with pytest.raises(UsageError, match="access_key_id"):
        open_vault(stores["s3"].spec("x"), {"token": "t"}, "ship")


def _client(spec: VaultSpec, who: Mapping[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=spec.endpoint,
        region_name="us-east-1",
        aws_access_key_id=who["access_key_id"],
        aws_secret_access_key=who["secret_access_key"],
    )


def _versioned(stores: dict[str, Store]) -> tuple[Any, VaultSpec, Vault]:
    """A bucket that keeps versions."""
    name, who = next(NAMES), stores["s3"].credentials["operator"]
    spec = stores["s3"].spec(name)
    client = _client(spec, who)
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return client, spec, open_vault(spec, who)


def test_erased_leaves_no_version(stores: dict[str, Store]) -> None:
    """In a bucket that keeps versions all of them go, also those that somebody hid by a plain delete."""
    client, spec, vault = _versioned(stores)
    for key in ("media/1", "media/2", "media/22"):
        for body in (b"first", b"second"):
            client.put_object(Bucket=spec.bucket, Key=key, Body=body)
    client.delete_object(Bucket=spec.bucket, Key="media/1")
    assert isinstance(vault, KeepsHidden)
    assert (vault.hidden("media/"), vault.hidden("wal/")) == (["media/1"], [])
    for key in ("media/1", "media/2", "media/none"):
        vault.erase(key)
    left = client.list_object_versions(Bucket=spec.bucket)
    assert vault.hidden("media/") == []
    assert [(v["Key"]) for v in left["Versions"]] == ["media/22", "media/22"]
    assert left.get("DeleteMarkers", []) == []


def test_a_locked_object_is_held_back_and_the_store_says_so(stores: dict[str, Store]) -> None:
    """Object lock: an erase is an error with the store's reason, never a success that hides the object."""
    spec = make_locked_bucket(stores["s3"], next(NAMES))
    vault = open_vault(spec, stores["s3"].credentials["operator"])
    assert isinstance(vault, TellsLock)
    assert vault.put_new("media/1", b"held")
    assert 0 < (vault.locked_until("media/1") or 0) - time.time() - 86_000 < 500
    with pytest.raises(VaultError, match="could not erase media/1"):
        vault.erase("media/1")
    assert vault.get("media/1") == b"held"


def test_what_was_hidden_stays_so_while_a_lock_holds_it(stores: dict[str, Store]) -> None:
    """A removal that the lock refuses brings nothing back that somebody had done with; the lock's end is told all the same."""
    spec = make_locked_bucket(stores["s3"], next(NAMES))
    vault = open_vault(spec, stores["s3"].credentials["operator"])
    assert isinstance(vault, TellsLock)
    assert isinstance(vault, KeepsHidden)
    assert vault.put_new("restic/00000001/locks/1", b"in use")
    vault.delete("restic/00000001/locks/1")
    with pytest.raises(VaultError, match="could not erase restic/00000001/locks/1"):
        vault.erase("restic/00000001/locks/1")
    assert (vault.list(""), vault.hidden("")) == ([], ["restic/00000001/locks/1"])
    assert 0 < (vault.locked_until("restic/00000001/locks/1") or 0) - time.time() - 86_000 < 500
    assert vault.locked_until("restic/00000001/locks/2") is None


def test_what_a_rehearsal_put_is_gone_for_good(stores: dict[str, Store]) -> None:
    """Every version, also of what an earlier one only hid; the fleet's own stays."""
    client, spec, vault = _versioned(stores)
    mine, theirs = "rehearsal/r1/wal/00000002/start", layout.first(1)
    for key in ("rehearsal/r0/epoch/00000002.json", mine, theirs):
        client.put_object(Bucket=spec.bucket, Key=key, Body=b"rows")
    vault.delete("rehearsal/r0/epoch/00000002.json")
    empty(vault, time.time())
    left = client.list_object_versions(Bucket=spec.bucket)
    assert [version["Key"] for version in left["Versions"]] == [theirs]
    assert "DeleteMarkers" not in left


def test_what_a_lock_holds_of_a_rehearsal_goes_once_it_is_over(stores: dict[str, Store]) -> None:
    """It is hidden until then, and no failure; what can't be removed without one is."""
    spec = make_locked_bucket(stores["s3"], next(NAMES))
    vault = open_vault(spec, stores["s3"].credentials["operator"])
    assert isinstance(vault, KeepsHidden)
    assert vault.put_new("rehearsal/r1/media/1", b"held")
    for _ in range(2):
        empty(vault, time.time())
        assert (vault.list(REHEARSALS), vault.hidden(REHEARSALS)) == ([], ["rehearsal/r1/media/1"])
    with pytest.raises(VaultError, match="could not erase rehearsal/r1/media/1"):
        empty(vault, time.time() + 2 * 86_400)


def _wait_for_the_next_second(client: Any, spec: VaultSpec) -> None:
    """By the store's own clock: it tells no more of when a version was put."""

    def now() -> datetime:
        client.put_object(Bucket=spec.bucket, Key=(name := next(NAMES)), Body=b"")
        told: datetime = client.head_object(Bucket=spec.bucket, Key=name)["LastModified"]
        return told

    began = now()
    while now() == began:
        time.sleep(0.05)


def test_what_the_operator_removed_is_no_first_version(stores: dict[str, Store]) -> None:
    """Somebody put junk, the operator removed it by a delete alone, and what belongs there was put: that is the object, also for `revert`."""
    client, spec, vault = _versioned(stores)
    assert isinstance(vault, S3Vault)
    for key in ("label/1", "label/2"):
        client.put_object(Bucket=spec.bucket, Key=key, Body=b"junk")
    _wait_for_the_next_second(client, spec)
    for key in ("label/1", "label/2"):
        client.delete_object(Bucket=spec.bucket, Key=key)
    assert vault.put_new("label/1", b"as it was put")
    assert vault.versions_of("label/")[0] == ["label/1"]
    assert vault.first("label/1") == AsPut(vault).get("label/1") == b"as it was put"
    assert vault.written_over() == {}
    client.put_object(Bucket=spec.bucket, Key="label/1", Body=b"written over")
    assert vault.first("label/1") == AsPut(vault).get("label/1") == b"as it was put"
    assert list(vault.written_over()) == ["label/1"]


def test_an_older_version_goes_where_the_newest_is_held(stores: dict[str, Store]) -> None:
    """Who may write over an object can't hold back by that what was there before: every version that no lock holds goes."""
    name, who = next(NAMES), stores["s3"].credentials["operator"]
    spec = stores["s3"].spec(name)
    client, vault, key = _client(spec, who), open_vault(spec, who), "media/1"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    client.put_object(Bucket=name, Key=key, Body=b"free")
    until = datetime.now(UTC) + timedelta(days=1)
    held = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    client.put_object(Bucket=name, Key=key, Body=b"held", **held)
    with pytest.raises(VaultError, match="could not erase media/1"):
        vault.erase(key)
    (left,) = client.list_object_versions(Bucket=name)["Versions"]
    assert (left["IsLatest"], vault.get(key)) == (True, b"held")


def test_the_first_version_outlives_whoever_writes_over_it(stores: dict[str, Store]) -> None:
    """In a bucket that keeps versions the object as it was put can be read, however often somebody writes over it."""
    client, spec, vault = _versioned(stores)
    assert isinstance(vault, KeepsVersions)
    key = "wal/00000001/0000000001000000"
    assert vault.first(key) is None
    assert vault.put_new(key, b"as it was put")
    assert vault.put_new(f"{key}-other", b"another")
    for n in range(3):
        client.put_object(Bucket=spec.bucket, Key=key, Body=f"written over {n}".encode())
    assert vault.get(key) == b"written over 2"
    assert vault.first(key) == b"as it was put"
    whole = read_good(vault, key, lambda data: data if data.startswith(b"as") else None)
    client.put_object(Bucket=spec.bucket, Key=key, Body=bytes(layout.most(key) + 1))
    assert read_good(vault, key, lambda data: data) == (b"as it was put", b"as it was put")
    assert whole == (b"as it was put", b"as it was put")
    assert isinstance(read_good(vault, key, lambda _: None), Altered)
    as_put = AsPut(vault)
    assert [as_put.get(name) for name in (key, f"{key}-other")] == [b"as it was put", b"another"]
    assert as_put.list("wal/00000001/") == [key, f"{key}-other"]
    assert read_good(vault, "wal/none", lambda data: data) is None
