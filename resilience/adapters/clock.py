"""Port Clock: this machine's time."""

from __future__ import annotations

import time


class SystemClock:
    """The real thing."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))
