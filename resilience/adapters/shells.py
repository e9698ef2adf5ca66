"""One SSH connection a host, made when first needed and shared by all adapters."""

from __future__ import annotations

import threading

from resilience.adapters.kit import Kit
from resilience.adapters.ssh import Begun, Login, Result, Shell, wait_until_up
from resilience.model import SiteOutputs

FIRST_BOOT_S = 300.0
"""So long a vendor may take from making a host to its first login."""


class Shells:
    """Shells by what a stack exported; the host's key is pinned there."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._open: dict[Login, Shell] = {}
        self._begun: dict[tuple[Login, str], Begun] = {}
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

    def await_first_boot(self, outputs: SiteOutputs) -> None:
        """Return once a host that a vendor has just made shows the pinned key and lets us in."""
        wait_until_up(self.login(outputs), FIRST_BOOT_S, every=1.0, first_boot=True).close()

    def __call__(self, outputs: SiteOutputs) -> Shell:
        """The shell of the site's first host."""
        login = self.login(outputs)
        with self._lock:
            return self._open.setdefault(login, Shell(login))

    def begin(self, outputs: SiteOutputs, command: str, timeout: float) -> None:
        """Start a command on the host ahead of time; it waits for its standard input, which `run` gives it."""
        begun = self(outputs).begin(command, timeout=timeout)
        with self._lock:
            self._begun[self.login(outputs), command] = begun

    def forget(self, outputs: SiteOutputs) -> None:
        """What was begun on this host is of no use any more; without its standard input it ends."""
        with self._lock:
            for login, command in list(self._begun):
                if login == self.login(outputs):
                    self._begun.pop((login, command)).channel.close()

    def run(self, outputs: SiteOutputs, command: str, stdin: bytes, timeout: float) -> Result:
        """Run a command on the host, the one that was begun where it still waits."""
        with self._lock:
            begun = self._begun.pop((self.login(outputs), command), None)
        shell = self(outputs)
        if begun is None or not begun.waits:
            begun = shell.begin(command, timeout=timeout)
        return shell.end(begun, stdin)

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            self._begun.clear()
            for shell in self._open.values():
                shell.close()
            self._open.clear()
