"""restic below a restore: given up where nothing comes, and gone with whoever started it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience import caches
from resilience.errors import VaultError
from resilience.replication.config import VaultConfig
from resilience.replication.restic import Repository, Stalled


@pytest.fixture
def silent() -> Iterator[str]:
    """Where somebody lets everybody in and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def repository(endpoint: str) -> Repository:
    """A repository in a bucket at this address."""
    keys = {"access_key_id": "a", "secret_access_key": "b"}
    where = {
        "name": "birch",
        "vendor": "birch",
        "kind": "s3",
        "bucket": "b",
        "endpoint": endpoint,
        "region": "us-east-1",
    }
    vault = VaultConfig.model_validate({**where, "credentials": keys, "restic_password": "loopback-only"})
    return Repository(caches.restic(), vault, "restic/00000001")


def test_a_vault_that_gives_nothing_is_given_up(silent: str, tmp_path: Path) -> None:
    """It hangs: after that patience the restore ends, and says that it was this."""
    with pytest.raises(Stalled) as told:
        repository(silent).restore("ab" * 32, "/pg", tmp_path / "pg", patience=0.5)
    assert told.value.why == "Nothing more came for 0.5 s."


def test_what_restic_says_is_told(tmp_path: Path) -> None:
    """It ends by itself: its own words are the reason."""
    broken = repository("no address at all")
    with pytest.raises(VaultError) as told:
        broken.restore("ab" * 32, "/pg", tmp_path / "pg", patience=60)
    assert not isinstance(told.value, Stalled)
    assert "restic restore failed in birch (exit 1)" in told.value.what
    assert told.value.why != "It said nothing."
