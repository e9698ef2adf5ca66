"""One SSH connection a host, made when first needed and shared by all adapters."""

from __future__ import annotations

import threading

from resilience.adapters.kit import Kit
from resilience.adapters.ssh import Login, Shell
from resilience.model import SiteOutputs


class Shells:
    """Shells by what a stack exported; the host's key is pinned there."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._open: dict[Login, Shell] = {}
        self._lock = threading.Lock()

    def login(self, outputs: SiteOutputs) -> Login:
        """How to get into the site's first host."""
        return Login(
            address=outputs.addresses[0],
            host_key=outputs.host_keys[0],
            key_file=self._kit.ssh_key,
            user=outputs.ssh_user,
            port=outputs.ssh_port,
        )

    def __call__(self, outputs: SiteOutputs) -> Shell:
        """The shell of the site's first host."""
        login = self.login(outputs)
        with self._lock:
            return self._open.setdefault(login, Shell(login))

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            for shell in self._open.values():
                shell.close()
            self._open.clear()
