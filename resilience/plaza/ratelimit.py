"""Rate limits: how often somebody may be wrong, and how often an app may do what costs others something."""

from __future__ import annotations

import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from resilience.plaza.errors import Refused

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
REMEMBERED = 50_000


class Limit:
    """At most so many events for one key in a sliding window."""

    def __init__(self, events: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._seconds = seconds
        self._clock = clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, key: str) -> None:
        """Refuse when this key had its share."""
        seen = self._seen.get(key)
        if seen is None:
            return
        self._forget(seen)
        if len(seen) >= self._events:
            wait = max(1, round(seen[0] + self._seconds - self._clock()))
            raise Refused(429, f"Too many attempts. Try again in {wait} seconds.")

    def count(self, key: str) -> None:
        """One more event for this key."""
        seen = self._seen.setdefault(key, deque(maxlen=self._events))
        self._seen.move_to_end(key)
        seen.append(self._clock())
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def take_back(self, key: str) -> None:
        """The newest event of this key was none after all."""
        if seen := self._seen.get(key):
            seen.pop()

    def _forget(self, seen: deque[float]) -> None:
        while seen and seen[0] <= self._clock() - self._seconds:
            seen.popleft()


@dataclass(slots=True)
class Attempt:
    """Somebody's try; whoever judges it says whether it was right."""

    right: bool = False


class Limits:
    """Wrong passwords: by name and address, by name, and by address; wrong codes; exports.

    A try counts as wrong before it is judged, so that many at once are no more than many in a row.
    """

    def __init__(self) -> None:
        self.exports = Limit(5, 3600)
        self._code = Limit(10, 300)
        self._pair = Limit(10, 300)
        self._name = Limit(100, 3600)
        self._address = Limit(50, 300)

    def login(self, name: str, address: str) -> AbstractContextManager[Attempt]:
        """Try a password; refused to whoever was wrong too often."""
        pair, by_name, by_address = (
            (self._pair, f"{name.lower()} {address}"),
            (self._name, name.lower()),
            (self._address, address),
        )
        return _attempt(pair, by_name, by_address)

    def code(self, account_id: int) -> AbstractContextManager[Attempt]:
        """Try a code."""
        return _attempt((self._code, str(account_id)))


@contextmanager
def _attempt(*counted: tuple[Limit, str]) -> Iterator[Attempt]:
    """Count first; take back what was right, and what nobody came to judge."""
    for limit, key in counted:
        limit.check(key)
    for limit, key in counted:
        limit.count(key)
    attempt, judged = Attempt(), False
    try:
        yield attempt
        judged = True
    finally:
        if attempt.right or not judged:
            for limit, key in counted:
                limit.take_back(key)


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests that have a share of their own, on top of what they take of everybody's."""

    name: str
    method: str
    path: re.Pattern[str]
    limit: int
    window_s: float


KINDS = (
    Kind("posts", "POST", re.compile(r"/api/v1/statuses"), 10_800, 3 * HOUR),
    Kind("deletes", "DELETE", re.compile(r"/api/v1/statuses/\w+"), 300, 30 * MINUTE),
    Kind("media", "POST", re.compile(r"/api/v[12]/media"), 1_800, 30 * MINUTE),
    Kind("follows", "POST", re.compile(r"/api/v1/accounts/\w+/follow"), 400, DAY),
    Kind("reports", "POST", re.compile(r"/api/v1/reports"), 100, HOUR),
)
"""The windows are Mastodon's; how many is the operator's to say, by name."""
