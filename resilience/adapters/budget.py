"""Budgets: how many requests one command may send to one vendor, how fast and for how long; vendors close accounts over storms.

Waiting between attempts is each client library's own; what it tries, again or for the first time, is counted here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from resilience.errors import ResilienceError

BUSY = frozenset({429, 503})
"""How vendors say that it is too much; `Retry-After` says until when."""


@dataclass(frozen=True)
class Allowance:
    """What one command may ask of one vendor."""

    requests: int
    per_second: float
    seconds: float


ALLOWED: Mapping[str, Allowance] = {
    "check": Allowance(requests=150, per_second=10, seconds=120),
    "names": Allowance(requests=100, per_second=5, seconds=60),
    "up": Allowance(requests=40, per_second=5, seconds=300),
    "vault": Allowance(requests=150, per_second=10, seconds=120),
}
"""By command. The strictest vendor lets 1,200 requests through in 5 minutes, over a whole account."""
A_DAY_S = 86_400
PARALLEL = 4
"""Resources that the engine's providers make at the same time."""


class BudgetSpent(ResilienceError):
    """A command asked a vendor for as much as it may."""


@dataclass
class Budget:
    """What is left for one vendor; shared by all that ask it in one command."""

    vendor: str
    allowance: Allowance
    sent: int = 0
    _next: float = 0.0
    _until: float = field(default=0.0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self) -> None:
        """Count one request, and wait until it may be sent; BudgetSpent where it may not."""
        with self._lock:
            now = time.monotonic()
            self._until = self._until or now + self.allowance.seconds
            begin = max(now, self._next)
            if self.sent >= self.allowance.requests or begin > self._until:
                raise self._spent(begin - now)
            self.sent += 1
            self._next = begin + 1 / self.allowance.per_second
        time.sleep(begin - now)

    def heard(self, status: int, headers: Mapping[str, str]) -> None:
        """Note what the vendor answered: until it may be asked again, where it says so."""
        after = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
        if status in BUSY and after.isdecimal():
            with self._lock:
                self._next = max(self._next, time.monotonic() + min(int(after[:9]), A_DAY_S))

    def guard(self, session: Session) -> Session:
        """The same session of requests, with every request counted."""
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Counted(self))
        return session

    def watch(self, client: Any) -> Any:
        """The same client of boto3, with every attempt counted."""

        def answered(response_dict: dict[str, Any] | None = None, **_: Any) -> None:
            if response_dict:
                self.heard(response_dict["status_code"], response_dict["headers"])

        client.meta.events.register("before-send", lambda **_: self.spend())
        client.meta.events.register("response-received", answered)
        return client

    def _spent(self, wait_s: float) -> BudgetSpent:
        allowed = self.allowance
        asks = f" It asked to be left alone for {wait_s:.0f} s more." if wait_s > 1 / allowed.per_second else ""
        return BudgetSpent(
            f"{self.vendor} is asked no more: {self.sent} requests were sent.",
            f"One command may send {allowed.requests} in {allowed.seconds:.0f} s, since vendors close accounts over storms.{asks}",
            "Wait, then run the command again; look at the vendor's status page if it stays so.",
        )


class _Counted(HTTPAdapter):
    """Requests' own way out, past a budget."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(max_retries=0)
        self._budget = budget

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Send it when it may be sent."""
        self._budget.spend()
        answer = super().send(request, *args, **options)
        self._budget.heard(answer.status_code, answer.headers)
        return answer


Budgets = Callable[[str], Budget]
"""A vendor's budget, by its name."""


def budgets(command: str) -> Budgets:
    """One budget for each vendor, for one run of a command."""
    made: dict[str, Budget] = {}
    return lambda vendor: made.setdefault(vendor, Budget(vendor, ALLOWED[command]))
