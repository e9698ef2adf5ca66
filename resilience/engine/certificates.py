"""Certificates in the vaults: what lets a site that is made anew serve HTTPS with no authority to ask."""

from __future__ import annotations

from collections.abc import Mapping

from resilience.engine.run import Facts, Run
from resilience.errors import ResilienceError, TooFewVaults
from resilience.model import Certificate, Site
from resilience.ports import Vault
from resilience.replication.epoch import each
from resilience.replication.seals import Verify
from resilience.replication.travelling import Travelling, encode, name, newest


def keep(run: Run, site: Site, wait_s: float = 0.0) -> Facts:
    """Bring what the site serves the name with into every vault that lacks it."""
    if not run.fleet.names.authorities:
        return {}
    world = run.world
    served = world.gate.certificate(run.outputs(site.name), wait_s)
    now = world.clock.now()
    held = newest(world.vaults, world.signer.verify, now)
    if held is not None and held.bundle.at_ms is not None and held.sealed.certificate == served.certificate:
        key, data = held.bundle.key, held.bundle.data
    else:
        at_ms = max(round(now * 1000), _after(held))
        key, data = name(at_ms), encode(served, at_ms, world.signer.sign)
    lacking = {n: v for n, v in world.vaults.items() if held is None or key != held.bundle.key or n not in held.vaults}
    answers = each(lacking, lambda vault: vault.put_new(key, data))
    holding = [n for n in world.vaults if n not in answers or not isinstance(answers[n], ResilienceError)]
    if not holding:
        raise TooFewVaults(
            f"The certificate of {run.fleet.names.host} is in no vault.",
            "No vault took it. A site that is made anew could serve users only once an authority issues another.",
            "Bring a vault back and run the same command again.",
        )
    seen = served.certificate
    told = f"{seen.issuer}, until {seen.until}"
    return {"certificate": told, "fingerprint": seen.fingerprint, "vaults": holding}


def _after(held: Travelling | None) -> int:
    """The first moment after what is there: it may have been put by a machine whose clock ran ahead."""
    return 0 if held is None or held.bundle.at_ms is None else held.bundle.at_ms + 1


def travelling(vaults: Mapping[str, Vault], verify: Verify, now: float) -> tuple[Certificate, tuple[str, ...]] | None:
    """The newest certificate in the vaults, and which of them hold it."""
    found = newest(vaults, verify, now)
    return None if found is None else (found.sealed.certificate, found.vaults)
