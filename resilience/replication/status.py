"""status: what ship says of itself, and whether it said so lately."""

from __future__ import annotations

import json
import time
from typing import Any

from resilience.errors import ResilienceError
from resilience.replication.config import Config
from resilience.replication.report import NAME


def main(config: Config) -> dict[str, Any]:
    """The status file, with its age."""
    path = config.paths.run / NAME
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ResilienceError("ship says nothing.", str(error), "Start it: systemctl start resilience-ship.") from error
    return {**facts, "age_s": round(time.time() - facts["at"], 3)}
