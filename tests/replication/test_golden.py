"""What earlier builds put into vaults is restored by this one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.replication import golden
from tests.replication.harness import Site
from tests.vault_servers import Store

FILES = sorted((Path(__file__).parent / "golden").glob("format-*.tar"))


def test_there_is_one_for_each_format() -> None:
    """Format 1 at least; a build that makes another format adds its own."""
    assert [file.name for file in FILES] == ["format-1.tar"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_vault_is_restored(file: Path, sites: Callable[..., Site], stores: dict[str, Store]) -> None:
    """Rows, picture and ledger of a vault that was filled by the first build of its format."""
    fleet = golden.load(file, stores["s3"], f"golden-{file.stem}")
    birch = sites(fleet, "birch")
    birch.run("restore")
    birch.run("recover")
    assert birch.rows() == list(range(1, golden.ROWS + 1))
    assert birch.run("fetch-media")["fetched"] == 1
    name = hashlib.sha256(golden.PICTURE).hexdigest()
    assert (birch.folder / "media" / name[:2] / name).read_bytes() == golden.PICTURE
    assert birch.run("fetch-ledger")["entries"] == 1
