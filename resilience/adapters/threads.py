"""Side by side: one thread each for what needs nothing of each other."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from resilience.ports import Deed


def side_by_side(deeds: Sequence[Deed]) -> None:
    """All at once; once all have ended, the first error in their order is raised.

    The threads end with the process: whoever interrupts it need not wait for them.
    """
    errors: dict[int, BaseException] = {}

    def run(number: int, deed: Deed) -> None:
        try:
            deed()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            errors[number] = error

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
