"""What is noted of a lease: the first note of an epoch, and what an earlier epoch's leaves of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience.replication import tenure
from resilience.replication.tenure import Tenure

VAULTS = ("birch", "cedar")


@pytest.mark.parametrize(
    ("noted", "until"),
    [
        (Tenure("before", tenure.boot(), {}, 0.0, 102.0), 102.0),
        (Tenure("before", tenure.boot(), {}, 0.0, 99.0), 105.0),
        (Tenure("before", "another boot", {}, 0.0, 102.0), 105.0),
        (Tenure("now", tenure.boot(), {"birch": 96.0}, 97.0, 101.0), 101.0),
        (None, 105.0),
    ],
)
def test_a_lease_begins_once_and_going_on_under_another_epoch_lengthens_none(
    tmp_path: Path, noted: Tenure | None, until: float
) -> None:
    """One that still runs under the epoch before is all there is; of one that ended, or of another boot, nothing is left."""
    path = tmp_path / tenure.NAME
    if noted is not None:
        tenure.write(path, noted)
    assert tenure.begin(path, "now", VAULTS, 100.0, 5.0).until == until
    assert tenure.begin(path, "now", VAULTS, 101.0, 5.0).until == until, "a second begin is none"
