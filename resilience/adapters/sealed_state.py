"""A stack's state as it may lie in a vault: encrypted to the fleet's recipients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resilience.errors import MissingPart, ResilienceError
from resilience.model import Site, SiteOutputs
from resilience.ports import Cloud, Vault
from resilience.replication.epoch import each
from resilience.replication.seals import encrypt


@dataclass(frozen=True)
class SealedState:
    """Wraps a Cloud and is one: only `state` differs, because a vault's vendor could read it."""

    cloud: Cloud
    recipients: tuple[str, ...]

    def up(self, site: Site) -> SiteOutputs:
        """Make the site."""
        return self.cloud.up(site)

    def outputs(self, site: Site) -> SiteOutputs | None:
        """What the last `up` exported."""
        return self.cloud.outputs(site)

    def down(self, site: Site) -> None:
        """Destroy it."""
        self.cloud.down(site)

    def state(self, site: Site) -> bytes | None:
        """The state, encrypted with age."""
        plain = self.cloud.state(site)
        return None if plain is None else encrypt(plain, self.recipients)


def newest_state(vaults: Mapping[str, Vault], site: str) -> tuple[str, str, bytes]:
    """The newest state of a site that any vault holds: vault, key and the encrypted bytes."""
    prefix = f"state/{site}/"
    listed = each(vaults, lambda vault: vault.list(prefix))
    found = [(key, name) for name, keys in listed.items() if not isinstance(keys, ResilienceError) for key in keys]
    ordered = sorted(
        (pair for pair in found if _number(pair[0]) is not None), key=lambda pair: (_number(pair[0]), pair[1])
    )
    for key, name in reversed(ordered):
        state = each({name: vaults[name]}, lambda vault, key=key: vault.get(key))[name]  # type: ignore[misc]
        if isinstance(state, bytes):
            return name, key, state
    silent = [name for name, keys in listed.items() if isinstance(keys, ResilienceError)]
    raise MissingPart(
        f"No vault that answers holds a state of {site}'s stack.",
        f"Asked: {', '.join(vaults)}; no answer from: {', '.join(silent) or 'none'}.",
        "Bring a vault back, or let `resilience up` make the site anew.",
    )


def _number(key: str) -> float | None:
    """When a state was put, from its name; None for a name that is none of ours."""
    text = key.rpartition("/")[2].removesuffix(".json")
    return float(text) if text.isdecimal() else None
