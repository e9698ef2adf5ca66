"""nowhere: which pictures no vault has; for whoever must know that what is not here yet will come."""

from __future__ import annotations

from typing import Any

import structlog

from resilience.errors import ResilienceError, TooFewVaults
from resilience.replication import layout
from resilience.replication.apart import openable
from resilience.replication.config import Config
from resilience.replication.fetch_media import lacking, rows
from resilience.replication.patient import sounded_out

log = structlog.get_logger()


def main(config: Config) -> dict[str, Any]:
    """Of the pictures in `named`, or else of all that rows name, those that this host lacks and no vault has.

    None has what it does not list, or lists only parts of that open for nobody.
    A vault is asked only as long as some are looked for. TooFewVaults where so few answer that one which k of them hold
    could be missed.
    """
    names = config.named or rows(config)
    left, seen, silent = set(lacking(config, names)), set[str](), dict[str, str]()
    for vault in sounded_out(config.open()).values() if left else ():
        if not left:
            break
        try:
            seen.update(vault.list(layout.MEDIA))
        except ResilienceError as error:
            log.warning("a vault does not list its pictures", vault=vault.name, why=error.why)
            silent[vault.name] = error.why
        left -= openable(seen, seen)
    if left and len(silent) >= config.record.k:
        raise TooFewVaults(
            f"{len(left)} pictures are not here, and {', '.join(silent)} do not say whether they have them.",
            "; ".join(f"{name}: {why}" for name, why in silent.items()),
            "Bring one of them back and run the same command again.",
        )
    return {"nowhere": sorted(left), "silent": silent, "objects": len(names)}
