"""The lab: five vendors on this machine, made, entered, broken and removed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from resilience import caches, keys
from resilience.errors import Locked, MissingPart, ResilienceError
from resilience.lab import (
    aside,
    authorities,
    blackhole,
    buckets,
    cleanup,
    dns,
    entrance,
    faults,
    fleetfile,
    kit,
    network,
    places,
    processes,
    signals,
)
from resilience.lab import host as hosts
from resilience.lab.hostel import METAL, Hostel
from resilience.lab.lock import LabLock
from resilience.lab.processes import Home

PROGRAMS = ("ip", "nft", "nsenter", "unshare", "systemd-nspawn", "mkfs.ext4")
Progress = Callable[[str], None]


class Lab:
    """One lab; everything it keeps is under `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._home = Home()
        self._lock = LabLock()
        with suppress(MissingPart):  # what is left of a lab can be removed without any cache
            caches.use_programs()

    @property
    def fleet_file(self) -> Path:
        """The fleet the lab wrote."""
        return self.directory / "fleet.toml"

    # ── making and removing ──────────────────────────────────────────────────
    def up(
        self,
        progress: Progress = lambda _what: None,
        *,
        keep: bool = False,
        from_aside: Path | None = None,
        tls: bool = False,
    ) -> None:
        """Make the lab, or bring back one that was set aside. `keep`: it stays when this process ends, until `down`.

        With `tls` there are certificate authorities, and the name is served by HTTPS.
        """
        self._check_machine()
        self._lock.take(self.directory)
        signals.unwind_when_stopped()
        try:
            self._refuse_beside_a_kept_lab()
        except BaseException:
            self._lock.give_back()
            raise
        try:
            self._clear_the_way(progress)
            cleanup.claim(self.directory)
            if from_aside is None:
                self._make(progress, tls=tls)
            else:
                self._bring_back(from_aside, progress)
            cleanup.mark(self.directory, whole=True, keep=keep)
        except BaseException:
            self.down()
            raise
        if keep:
            self._lock.give_back()

    def _check_machine(self) -> None:
        if os.geteuid() != 0:
            raise ResilienceError("The lab cannot be made", "It needs root: namespaces and hosts.", "Run it with sudo.")
        caches.use_programs()
        processes.require(PROGRAMS)

    def _refuse_beside_a_kept_lab(self) -> None:
        """There is one lab on a machine, and this one was left on purpose."""
        kept = cleanup.kept_lab()
        if kept is not None:
            raise Locked(
                "There is a lab already", f"`lab up` made it in {kept}.", "Use it, or remove it: resilience lab down."
            )

    def _clear_the_way(self, progress: Progress) -> None:
        """Remove what a killed lab left."""
        if cleanup.leftovers() or cleanup.is_claimed(self.directory):
            progress("removing what a killed lab left behind")
            self._remove_all()

    def _make(self, progress: Progress, *, tls: bool) -> None:
        rootfs = caches.rootfs()
        progress("keys and credentials")
        kit.make(self.directory / "kit")
        entrance.write_files(self.directory)
        self._start_vendors(progress)
        progress("a bare-metal host at cedar")
        self._place_metal_host(rootfs)
        progress("waiting for the vendors' services")
        self._wait_ready()
        if tls:
            authorities.start(self.directory, self._home)
        self.fleet_file.write_text(fleetfile.text(tls=tls))

    def _bring_back(self, place: Path, progress: Progress) -> None:
        """Everything that was set aside, started again: to its hosts it was a power cut."""
        rootfs = caches.rootfs()
        progress("bringing back the lab that was set aside")
        aside.bring_back(place, self.directory)
        self._start_vendors(progress)
        progress("hosts")
        rented = [one for vendor in places.VENDORS for one in Hostel(self.directory, vendor, rootfs, self._home).all()]
        with ThreadPoolExecutor() as pool:
            booting = [pool.submit(hosts.boot, self.directory, rootfs, one.spec, self._home) for one in rented]
            self._wait_ready()
            if authorities.are_there(self.directory):
                authorities.start(self.directory, self._home)
            for boot in booting:
                boot.result()

    def set_aside(self, place: Path, about: dict[str, Any]) -> None:
        """Stop everything, as a power cut would, and keep a copy of all files; what is left is to be taken `down`."""
        processes.reap()
        processes.end_group()
        aside.set_aside(self.directory, place, about)

    def _start_vendors(self, progress: Progress) -> None:
        """The network, and on it every vendor's services and the users' resolver."""
        rootfs, tools = caches.rootfs(), caches.tools()
        progress("network")
        network.create(self._home)
        progress("vendors")
        for vendor in places.VENDORS:
            self._start_vendor(vendor, rootfs, tools)
        dns.start_registry(self.directory, tools, self._home)
        dns.start_resolver(self.directory, tools, self._home)

    def _start_vendor(self, vendor: places.Place, rootfs: Path, tools: Path) -> None:
        (self.directory / "vendors" / vendor.name).mkdir(parents=True, exist_ok=True)
        if vendor.bucket:
            buckets.start(self.directory, vendor, self._home)
        if vendor.dns:
            dns.start_server(self.directory, vendor, tools, self._home)
        if vendor.account:
            argv = processes.python("resilience.lab.account", str(self.directory), vendor.name, str(rootfs))
            processes.start(self.directory, f"account-{vendor.name}", argv, home=self._home, space=vendor.space)

    def _place_metal_host(self, rootfs: Path) -> None:
        cedar = next(vendor for vendor in places.VENDORS if vendor.hosts and not vendor.account)
        private, public = keys.ssh_key_pair()
        pinned = self.directory / "kit" / "host_keys" / f"{cedar.host_address(0)}.pub"
        keys.keep(pinned, f"{public}\n".encode())
        authorized = (self.directory / "kit" / "ssh_ed25519.pub").read_text()
        wanted = {"name": places.METAL_HOST, "authorized_key": authorized, "host_key_private": private, "size": METAL}
        Hostel(self.directory, cedar, rootfs, self._home).ensure(wanted)

    def _wait_ready(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._wait_for_vendor, places.VENDORS))
        dns.wait_ready(self.directory)

    def _wait_for_vendor(self, vendor: places.Place) -> None:
        if vendor.bucket:
            buckets.wait_ready(self.directory, vendor)
        if vendor.vault:
            argv = processes.python("resilience.lab.buckets", str(self.directory), vendor.name)
            self._run_inside(argv, vendor)
        if vendor.account and not network.wait_for_port(vendor.space, vendor.account_address, 80, 20):
            raise ResilienceError(
                f"{vendor.name}'s account API did not start",
                f"Its log is {self.directory}/log/account-{vendor.name}.log.",
                "Read the log; then resilience lab down, and try again.",
            )

    def _run_inside(self, argv: Sequence[str], vendor: places.Place) -> None:
        environment = processes.marked(self.directory, f"setup-{vendor.name}")
        words = [*self._home.prefix(vendor.space), *argv]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ResilienceError(
                f"{vendor.name}'s bucket could not be made", done.stderr[-800:], "Run resilience lab down, then again."
            )

    def down(self) -> list[str]:
        """Remove everything of any lab on this machine; what could not be removed."""
        processes.reap()
        if not self._lock.held:
            self._lock.take(self.directory)
        with signals.uninterrupted():
            try:
                return self._remove_all()
            finally:
                self._lock.give_back()

    def _remove_all(self) -> list[str]:
        return cleanup.remove_all(self.directory, self._home)

    def is_up(self) -> bool:
        """Whether this lab was made whole and is still there."""
        return cleanup.is_up(self.directory)

    def leftovers(self) -> list[str]:
        """What is there of any lab on this machine: namespaces, processes, mounts, control groups."""
        return cleanup.leftovers()

    # ── being inside ─────────────────────────────────────────────────────────
    def enter_operator(self) -> None:
        """Move this process to the operator's place: nothing but the lab can be reached from there."""
        if not self.is_up():
            raise ResilienceError(
                "There is no lab to enter", f"None is up in {self.directory}.", "Make one: resilience lab up."
            )
        self._home = entrance.enter(self.directory, places.OPERATOR_SPACE)

    def popen_as_users(self, argv: Sequence[str], **popen: Any) -> subprocess.Popen[Any]:
        """Start a program where the users are; names go through their resolver."""
        name = f"users-{os.getpid()}-{time.monotonic_ns()}"
        words = processes.grouped([*self._home.prefix(None), *entrance.as_user(self.directory, list(argv))])
        own_env = {**authorities.trusted(self.directory), **(popen.pop("env", None) or {})}
        env = processes.marked(self.directory, name, own_env)
        fds = (*popen.pop("pass_fds", ()), *processes.inherited(self._home))
        return subprocess.Popen(words, env=env, pass_fds=fds, **popen)

    # ── breaking ─────────────────────────────────────────────────────────────
    def inject(self, fault: str, vendors: Sequence[str], seed: int = 0) -> dict[str, Any]:
        """Do to these vendors what the fault says; returns what was done."""
        return faults.inject(self.directory, fault, list(vendors), self._home, seed)

    def relent(self, vendor: str) -> None:
        """A vendor opens the account again: services, buckets and hosts are there as they were left."""
        place, rootfs = faults.relent(self.directory, vendor, self._home), caches.rootfs()
        self._start_vendor(place, rootfs, caches.tools())
        self._wait_for_vendor(place)
        if place.dns:
            dns.wait_for(self.directory, place)
        Hostel(self.directory, place, rootfs, self._home).power_on()

    def power_cut(self, vendor: str, host: str) -> None:
        """A host is switched off at the wall, and on again; returns once its sshd listens."""
        Hostel(self.directory, places.place(vendor), caches.rootfs(), self._home).power_cut(host)

    def delegate(self, servers: Sequence[str]) -> None:
        """Change whom the parent zone leads to, as a person does at the registrar."""
        dns.delegate(self.directory, servers)

    def blackhole(self, vendors: Sequence[str]) -> None:
        """From now on drop and count what the operator and surviving hosts send to these vendors."""
        blackhole.begin(self.directory, vendors, self._home)

    def blackhole_calls(self) -> list[dict[str, Any]]:
        """Every attempt to call a dead vendor: {from, vendor, address, port, attempts}."""
        return blackhole.calls(self.directory)

    def blackhole_used(self) -> list[dict[str, Any]]:
        """What was sent to a dead vendor on connections from before: {from, vendor, address, port, used}."""
        return blackhole.used(self.directory)

    def blackhole_complete(self) -> bool:
        """Whether the operator and every surviving host were really watched."""
        return blackhole.complete(self.directory)

    # ── looking ──────────────────────────────────────────────────────────────
    def status(self) -> dict[str, Any]:
        """The lab for people: each vendor with its addresses, services and hosts."""
        return {
            "directory": str(self.directory),
            "up": self.is_up(),
            "name": places.NAME,
            "resolver": places.RESOLVER,
            "vendors": {vendor.name: cleanup.describe(self.directory, vendor) for vendor in places.VENDORS},
        }

    def requests(self, vendor: str) -> list[dict[str, Any]]:
        """Every request a vendor's account API got: {at, method, path, from, status}."""
        log = self.directory / "vendors" / vendor / "requests.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def forward(self, port: int = 8080) -> int:
        """Let a browser on this machine look: 127.0.0.1:PORT goes to the public name; the forwarder's pid."""
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise ResilienceError(
                f"A browser cannot be let in on port {port}", str(error), "Name another port with --port."
            ) from error
        argv = processes.python("resilience.lab.forward", str(port))
        pid = processes.start(self.directory, "forward", argv, home=self._home)
        if not network.wait_for_port(None, "127.0.0.1", port, 10):
            log = self.directory / "log/forward.log"
            raise ResilienceError("The forwarder did not start", f"Its log is {log}.", "Read the log; try again.")
        return pid
