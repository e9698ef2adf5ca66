"""restore-at: a copy as it was at a moment, in a folder of its own; nothing of the fleet is touched."""

from __future__ import annotations

import time
from typing import Any

from resilience.replication import scratch
from resilience.replication.config import Config
from resilience.replication.originals import as_put
from resilience.replication.patient import sounded_out
from resilience.replication.scratch import Moment


def main(config: Config, at: str | None, of: int | None = None) -> dict[str, Any]:
    """Make the copy, replay it to the moment, leave it stopped and ready to be started."""
    moment, began = Moment.parse(at), time.monotonic()
    copy = scratch.make(config, as_put(sounded_out(config.open())), moment, of)
    with scratch.opened(copy, moment):
        pass
    return {**scratch.describe(copy), "pg": str(config.paths.pg), "seconds": round(time.monotonic() - began, 1)}
