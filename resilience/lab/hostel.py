"""The hosts of one vendor: which there are, kept on disk, booted and given back."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resilience.lab import host as hosts
from resilience.lab import network, places
from resilience.lab.host import HostSpec
from resilience.lab.processes import Home

METAL = "metal"
"""The size of a host that is simply there; it has a disk of its own."""


class Conflict(Exception):
    """The name is taken by a host with other parameters."""


@dataclass(frozen=True, slots=True)
class Rented:
    """One host as the vendor's books have it."""

    id: str
    size: str
    spec: HostSpec


class Hostel:
    """All hosts of one vendor."""

    def __init__(self, directory: Path, vendor: places.Place, rootfs: Path, home: Home) -> None:
        self._directory = directory
        self._vendor = vendor
        self._rootfs = rootfs
        self._home = home
        self._busy = threading.Lock()

    @property
    def _books(self) -> Path:
        return self._directory / "vendors" / self._vendor.name / "hosts.json"

    def all(self) -> list[Rented]:
        """Every host, in the order they were made."""
        try:
            books = json.loads(self._books.read_text())
        except FileNotFoundError:
            return []
        return [Rented(entry["id"], entry["size"], HostSpec(**entry["spec"])) for entry in books]

    def get(self, id_: str) -> Rented | None:
        """One host by its id."""
        return next((rented for rented in self.all() if rented.id == id_), None)

    def ensure(self, wanted: dict[str, str]) -> tuple[Rented, bool]:
        """The host as wanted, booted; True where it was made now."""
        with self._busy:
            for rented in self.all():
                if rented.spec.name == wanted["name"]:
                    self._check_same(rented, wanted)
                    if not hosts.is_running(rented.spec.process):
                        hosts.boot(self._directory, self._rootfs, rented.spec, self._home)
                    return rented, False
            return self._make(wanted), True

    def _make(self, wanted: dict[str, str]) -> Rented:
        taken = {rented.spec.address for rented in self.all()}
        addresses = (self._vendor.host_address(index) for index in range(100))
        address = next(address for address in addresses if address not in taken)
        keys = wanted["authorized_key"], wanted["host_key_private"]
        spec = HostSpec(wanted["name"], self._vendor.name, address, *keys, disk=wanted["size"] == METAL)
        hosts.public_key(spec.host_key_private)
        rented = Rented(f"i-{hashlib.sha256(spec.full_name.encode()).hexdigest()[:12]}", wanted["size"], spec)
        self._write([*self.all(), rented])
        try:
            hosts.boot(self._directory, self._rootfs, spec, self._home)
        except Exception:
            self._forget(rented)
            raise
        return rented

    def _check_same(self, rented: Rented, wanted: dict[str, str]) -> None:
        has = {"authorized_key": rented.spec.authorized_key, "size": rented.size}
        has["host_key_private"] = rented.spec.host_key_private
        if other := [key for key, value in has.items() if wanted[key].strip() != value.strip()]:
            message = f"There is a host {rented.spec.name} with another {', '.join(other)}."
            raise Conflict(message)

    def power_cut(self, name: str) -> None:
        """Switch a host off at the wall, and on again."""
        with self._busy:
            spec = next(rented.spec for rented in self.all() if rented.spec.name == name)
            hosts.power_off(spec.process)
            hosts.boot(self._directory, self._rootfs, spec, self._home)

    def discard(self, id_: str) -> bool:
        """Give a host back; False where there is none of this id."""
        with self._busy:
            rented = self.get(id_)
            if rented is None:
                return False
            self._forget(rented)
            return True

    def _forget(self, rented: Rented) -> None:
        hosts.discard(self._directory, rented.spec, self._home)
        self._write([other for other in self.all() if other.id != rented.id])

    def _write(self, rented: list[Rented]) -> None:
        fresh = self._books.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps([asdict(entry) for entry in rented], indent=1))
        fresh.replace(self._books)

    def describe(self, rented: Rented) -> dict[str, Any]:
        """A host as the API shows it: never its private key."""
        running = hosts.is_running(rented.spec.process)
        key = ""
        with suppress(Exception):
            key = hosts.public_key(rented.spec.host_key_private)
        return {
            "id": rented.id,
            "name": rented.spec.name,
            "address": rented.spec.address,
            "size": rented.size,
            "host_key": key,
            "status": "running" if running else "off",
        }

    def power_on(self) -> None:
        """Let every host run that a vendor switched off, at its address; one whose disk was deleted is no longer in the books."""
        with self._busy:
            for rented in self.all():
                if not hosts.is_there(self._directory, rented.spec):
                    self._forget(rented)
                    continue
                network.revive(rented.spec.space, rented.spec.address, self._home)
                if not hosts.is_running(rented.spec.process):
                    hosts.boot(self._directory, self._rootfs, rented.spec, self._home)
