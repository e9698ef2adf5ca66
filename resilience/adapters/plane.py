"""The data plane on a site's host, over SSH: `python -m resilience.replication …` there.

Secrets travel in a command's configuration, which lives in /run (memory) and is removed
when the command ends; only ship's own, which can encrypt and put but not read, stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resilience.errors import BrokenChain, ResilienceError, ShortRecovery, TooFewVaults
from resilience.model import EpochRecord, Fleet, Site, SiteOutputs, VaultSpec
from resilience.ports import Merged, Recovered

PYTHON = "PYTHONPATH=/opt/resilience/src /opt/resilience/env/bin/python3"
DATA = "/var/lib/resilience"
PATHS = {
    "pg": f"{DATA}/pg",
    "media": f"{DATA}/media",
    "ledger": f"{DATA}/ledger",
    "outbox": f"{DATA}/outbox",
    "held": f"{DATA}/held",
    "spool": f"{DATA}/spool",
    "wal": f"{DATA}/wal",
    "run": "/run/resilience",
    "restic": "/opt/resilience/bin/restic",
}
POSTGRES = {
    "dsn": "host=/run/postgresql user=postgres dbname=postgres",
    "start": ["systemctl", "start", "resilience-postgres"],
    "stop": ["systemctl", "stop", "resilience-postgres"],
    "bin": "/usr/lib/postgresql/15/bin",
}
