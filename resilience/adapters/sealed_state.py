"""A stack's state as it may lie in a vault: encrypted to the fleet's recipients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from resilience.model import Site, SiteOutputs
from resilience.ports import Cloud
from resilience.replication.seals import decrypt, encrypt


@dataclass(frozen=True)
class SealedState:
    """Wraps a Cloud and is one: only `state` and `adopt` differ, because a vault's vendor could read it."""

    cloud: Cloud
    recipients: tuple[str, ...]
    identity: Callable[[], str]

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

    def adopt(self, site: Site, exported: bytes, *, over: bool = False) -> None:
        """Take over what another machine encrypted."""
        self.cloud.adopt(site, decrypt(exported, self.identity()), over=over)
