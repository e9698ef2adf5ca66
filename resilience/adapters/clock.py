"""Port Clock: this machine's time."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from resilience.ports import Uptime

BOOT = Path("/proc/sys/kernel/random/boot_id")
PROCESS = secrets.token_hex(16)
"""Where the system doesn't name its boots, only this process knows what its clock counts from."""


class SystemClock:
    """The real thing."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def uptime(self) -> Uptime:
        """Of this boot; where the system doesn't name it, of this process."""
        try:
            boot = BOOT.read_text().strip()
        except OSError:
            return Uptime(PROCESS, time.monotonic())
        return Uptime(boot, time.clock_gettime(time.CLOCK_BOOTTIME))

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))
