"""What time a server says it is, against this machine's clock."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import httpx

from resilience.errors import ResilienceError

TIMEOUT_S = 3.0


def skew_s(url: str) -> float:
    """Seconds that the server's clock is ahead of ours, to the second, from one answer's Date."""
    try:
        began = time.time()
        said = httpx.head(url, timeout=TIMEOUT_S).headers.get("Date", "")
        return parsedate_to_datetime(said).timestamp() + 0.5 - (began + time.time()) / 2
    except (httpx.HTTPError, ValueError) as error:
        raise ResilienceError(f"{url} does not say what time it is.", str(error), "Run the check again.") from error
