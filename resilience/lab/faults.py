"""Faults: what can happen to vendors, really done to them. Only ever in a lab."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from resilience.errors import UsageError
from resilience.lab import buckets, closed, dns, network, places, processes
from resilience.lab.places import Place
from resilience.lab.processes import Home

KINDS = ("terminate", "delete", "correlated", "control-plane", "hijack", "bit-rot")


def inject(directory: Path, fault: str, vendors: list[str], home: Home, seed: int) -> dict[str, Any]:
    """Do it; what was done, for the journal."""
    if fault not in KINDS:
        raise UsageError(f"There is no fault {fault}", f"There are {', '.join(KINDS)}.", "Name one of them.")
    if fault in {"hijack", "bit-rot"}:
        raise UsageError(f"The lab cannot do {fault} yet", "Nothing here makes it.", "Use terminate or delete.")
    done: dict[str, Any] = {"fault": fault, "vendors": vendors, "seed": seed}
    for name in vendors:
        vendor = places.place(name)
        close_account(directory, vendor, home)
        if fault != "control-plane":
            power_off_hosts(vendor, home)
        if fault == "delete":
            delete_data(directory, vendor)
    done["at"] = time.time()
    return done


def close_account(directory: Path, vendor: Place, home: Home) -> None:
    """Account API and bucket answer as closed ones do; the name server is gone."""
    closed.marker(directory, vendor.name).touch()
    if vendor.dns:
        network.silence_address(vendor.space, vendor.dns_address, home)
        processes.end_group(dns.process_name(vendor))
    if vendor.bucket == "s3":
        for name in buckets.process_names(vendor):
            processes.end_group(name)
        argv = processes.python("resilience.lab.closed_bucket", vendor.name)
        processes.start(directory, f"closed-bucket-{vendor.name}", argv, home=home, space=vendor.space)
        network.wait_for_port(vendor.space, vendor.bucket_address, 80, 10)


def power_off_hosts(vendor: Place, home: Home) -> None:
    """Every host off at the wall, its address dead."""
    for space in network.spaces(f"{places.HOST_SPACE}{vendor.name}-"):
        network.silence(space, home)
        processes.end_group("host-" + space.removeprefix(places.HOST_SPACE))


def delete_data(directory: Path, vendor: Place) -> None:
    """Disks and buckets are gone."""
    for path in (directory / "hosts").glob(f"{vendor.name}-*/upper"):
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(buckets.place_of(directory, vendor) / "data", ignore_errors=True)
