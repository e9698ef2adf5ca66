"""Looking at a site's app: rows, pictures and takedowns as it counts them, journalled for the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from resilience.engine.run import Run
from resilience.errors import ResilienceError


def app_facts(run: Run, site: str) -> Mapping[str, Any]:
    """What the app says; an error where what was taken down can be seen."""
    facts = run.world.app.facts(run.outputs(site))
    taken = facts["takedowns"]
    run.note("takedowns-checked", **{key: taken[key] for key in ("issued", "resurrected")})
    if taken["resurrected"]:
        raise ResilienceError(
            f"On {site} taken-down posts can be seen again: {', '.join(map(str, taken['resurrected'][:5]))}.",
            "The ledger was replayed, and the app still shows them.",
            "It is opened no further. Run `resilience open closed`, and look at the app's ledger there.",
        )
    return facts


def missing_media(found: Mapping[str, Any], nowhere: Iterable[str]) -> int:
    """How many pictures that rows name are neither on the host nor in a vault, so that they will not come.

    A key is missing as long as it is not on the host: nobody is let in before.
    """
    lost = set(nowhere).intersection(found["missing"])  # what came meanwhile is not
    return max(len(lost), int(found.get("keys_missing", 0)))


def note_media(run: Run, found: Mapping[str, Any], missing: int) -> None:
    """Journal how many are missing and altered, of how many, and how many are on their way."""
    counts = {"objects": found["objects"], "missing": missing, "corrupt": len(found["corrupt"])}
    run.note("media-checked", **counts, coming=len(found["missing"]) - missing)
