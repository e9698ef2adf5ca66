"""status: what ship, or follow, says of itself, and whether it said so lately."""

from __future__ import annotations

import json
import time
from typing import Any

from resilience.errors import ResilienceError
from resilience.replication import sizes
from resilience.replication.at_risk import at_risk
from resilience.replication.config import Config
from resilience.replication.report import NAME
from resilience.replication.standby_report import NAME as STANDBY


def main(config: Config) -> dict[str, Any]:
    """The status file, with its age; of a site that may write, what would be lost and what its pictures take."""
    paths = [config.paths.run / name for name in (NAME, STANDBY)]
    path = next((path for path in paths if path.exists()), paths[0])
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ResilienceError(
            "Neither ship nor follow says anything.",
            str(error),
            "Start it: systemctl start resilience-ship, or resilience up SITE for a standby.",
        ) from error
    standby = facts.get("role") == "standby"
    more = {} if standby else {"at_risk": at_risk(config, facts), **sizes.pictures(config.paths.media)}
    return {**facts, **more, "age_s": round(time.time() - facts["at"], 3)}
