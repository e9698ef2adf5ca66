"""Metrics as Prometheus reads them, and what never gets into them."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from resilience.errors import VaultError
from resilience.replication import metrics
from resilience.replication.metrics import Meter, Metric, Sample, error_class


def test_the_text_form(tmp_path: Path) -> None:
    """Help, type, labels with quotes escaped; a metric without a value is left out."""
    made = [
        Metric("lag_seconds", "gauge", "How far behind.", (Sample(1.5, {"vault": 'a "b"'}),)),
        Metric("unknown", "gauge", "Not there.", ()),
        Metric("lsn", "gauge", "Where.", (Sample(float(0x1FF_16B3748)),)),
    ]
    metrics.write(tmp_path, "ship", made)
    assert (tmp_path / "metrics/ship.prom").read_text() == (
        "# HELP resilience_lag_seconds How far behind.\n"
        "# TYPE resilience_lag_seconds gauge\n"
        'resilience_lag_seconds{vault="a \\"b\\""} 1.5\n'
        "# HELP resilience_lsn Where.\n"
        "# TYPE resilience_lsn gauge\n"
        f"resilience_lsn {0x1FF_16B3748}\n"
    )


def test_a_put_that_fails_is_no_put() -> None:
    """Failures are counted by class, and take no part in the latency."""
    meter = Meter()
    with meter.put(10):
        pass
    with pytest.raises(VaultError), meter.put(10):
        raise VaultError("elm could not put x", "secret://token", "Look.")
    meter.failed(VaultError("elm could not put x", "secret://token", "Look."))
    counted = {(s.suffix, s.labels.get("le")): s.value for s in meter.histogram({"vault": "elm"})}
    assert (meter.puts, meter.bytes, counted["_bucket", "+Inf"], counted["_count", None]) == (1, 10, 1, 1)
    assert dict(meter.errors) == {"VaultError": 1}


def test_an_error_is_told_by_the_stores_code() -> None:
    """The code where there is one, never a message."""
    error = VaultError("elm could not put x", "why", "next")
    error.__cause__ = ClientError({"Error": {"Code": "SlowDown", "Message": "key AKIA"}}, "PutObject")
    assert error_class(error) == "SlowDown"
    error.__cause__ = ClientError({"Error": {"Code": "not a code: AKIA"}}, "PutObject")
    assert error_class(error) == "ClientError"
