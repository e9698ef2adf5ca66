"""What would be lost now: told as long as somebody knows it."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from resilience.replication.at_risk import at_risk


@pytest.mark.parametrize(("silent_s", "seconds"), [(0.0, 0.0), (60.0, None)])
def test_nobody_knows_where_both_are_silent(tmp_path: Path, silent_s: float, seconds: float | None) -> None:
    """Postgres does not answer: ship's word of a minute ago, that nothing was lacking, says nothing of now."""
    postgres = SimpleNamespace(dsn=f"host={tmp_path} connect_timeout=1", bin=tmp_path)
    config = SimpleNamespace(postgres=postgres, record=SimpleNamespace(k=1))
    elm = {"backlog_objects": 0}
    said = {
        "at": time.time() - silent_s,
        "confirmed_lsn": "0/5",
        "lag_bytes": 0,
        "lag_seconds": 0.0,
        "vaults": {"elm": elm},
    }
    risk = at_risk(config, said)  # type: ignore[arg-type]
    assert (risk["seconds"], risk["transactions"]) == (seconds, None)
    assert risk["objects"] == (0 if seconds is not None else None)
