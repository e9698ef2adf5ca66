"""Faults: what can happen to vendors, really done to them. Only ever in a lab.

=============  =====================================================================================
terminate      hosts off, account API and bucket answer as closed, name server gone, addresses dead
delete         terminate, and disks and buckets are destroyed
correlated     terminate, for several vendors at once
control-plane  like terminate, but the hosts run on: the old primary lives and still takes writes
hijack         somebody with the primary's own credentials destroys copies in all vaults; then delete
bit-rot        bytes change in one vault that is left; then terminate
=============  =====================================================================================

In a lab with certificate authorities these fall silent with every fault: a site must serve with what it has.
"""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from resilience.errors import ResilienceError, UsageError
from resilience.lab import authorities, buckets, closed, dns, network, places, processes
from resilience.lab import host as hosts
from resilience.lab.places import Place
from resilience.lab.processes import Home

KINDS = ("terminate", "delete", "correlated", "control-plane", "hijack", "bit-rot")
DESTROYING = {"delete", "hijack"}


def inject(directory: Path, fault: str, vendors: list[str], home: Home, seed: int) -> dict[str, Any]:
    """Do it; what was done, and since when (`at`)."""
    _check(fault, vendors)
    if not (directory / "vendors").is_dir():
        raise ResilienceError("There is no lab to break", f"None is in {directory}.", "Make one: resilience lab up.")
    done: dict[str, Any] = {"fault": fault, "vendors": vendors, "seed": seed}
    if fault in {"hijack", "bit-rot"}:
        done["vaults"] = damage_vaults(directory, fault, vendors, home, seed)
    if silent := authorities.silence(directory, home):
        done["authorities"] = silent
    done["at"] = time.time()
    lost = [places.place(name) for name in vendors]
    if fault != "control-plane":
        for vendor in lost:
            power_off_hosts(vendor, home)
    for vendor in lost:
        close_account(directory, vendor, home)
    if fault in DESTROYING:
        for vendor in lost:
            delete_data(directory, vendor)
    return done


def relent(directory: Path, vendor: str, home: Home) -> Place:
    """End what stands for a closed account at this vendor; all that it sells is to be started again then."""
    place = next((known for known in places.VENDORS if known.name == vendor), None)
    if place is None or not closed.is_closed(directory, vendor):
        gone = ", ".join(known.name for known in places.VENDORS if closed.is_closed(directory, known.name))
        raise UsageError(
            f"{vendor} has not closed the account", f"Closed: {gone or 'none'}.", "Name a vendor that closed it."
        )
    for name in (f"account-{vendor}", _stand_in(vendor), *buckets.process_names(place)):
        processes.end_group(name)
    network.revive(place.space, place.dns_address, home)
    closed.marker(directory, vendor).unlink()
    return place


def _stand_in(vendor: str) -> str:
    """What answers at a closed bucket's address."""
    return f"closed-bucket-{vendor}"


def _check(fault: str, vendors: list[str]) -> None:
    if fault not in KINDS:
        raise UsageError(f"There is no fault {fault}", f"There are {', '.join(KINDS)}.", "Name one of them.")
    known = [vendor.name for vendor in places.VENDORS]
    if unknown := [name for name in vendors if name not in known]:
        raise UsageError(f"The lab has no vendor {unknown[0]}", f"It has {', '.join(known)}.", "Name one of them.")
    if fault == "correlated" and len(set(vendors)) == 1:
        raise UsageError("A correlated fault needs more than one vendor", f"Only {vendors[0]} was named.", "Name two.")


def close_account(directory: Path, vendor: Place, home: Home) -> None:
    """Account API and bucket answer as closed ones do; the name server is gone."""
    if closed.is_closed(directory, vendor.name):
        return
    closed.marker(directory, vendor.name).touch()
    if vendor.dns:
        network.silence_address(vendor.space, vendor.dns_address, home)
        processes.end_group(dns.process_name(vendor))
    if vendor.bucket == "s3":
        for name in buckets.process_names(vendor):
            processes.end_group(name)
        argv = processes.python("resilience.lab.closed_bucket", vendor.name)
        processes.start(directory, _stand_in(vendor.name), argv, home=home, space=vendor.space)
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
        (path.parent / hosts.BELOW).unlink(missing_ok=True)
    shutil.rmtree(buckets.place_of(directory, vendor) / "data", ignore_errors=True)


def damage_vaults(directory: Path, fault: str, vendors: list[str], home: Home, seed: int) -> dict[str, dict[str, int]]:
    """Hijack: every vault is attacked from outside. Bit rot: one vault that will be left, by the seed."""
    vaults = [vendor.name for vendor in places.VENDORS if vendor.vault and vendor.name not in vendors]
    if fault == "bit-rot":
        vaults = [vaults[seed % len(vaults)]]

    def damage(vault: str) -> dict[str, int]:
        argv = processes.python("resilience.lab.damage", str(directory), fault, vault, str(seed))
        said = processes.run(["env", *_environment(directory), *argv], space=places.USERS_SPACE, home=home)
        done: dict[str, int] = json.loads(said)
        return done

    with ThreadPoolExecutor() as pool:
        return dict(zip(vaults, pool.map(damage, vaults), strict=True))


def _environment(directory: Path) -> list[str]:
    marked = processes.marked(directory, "damage")
    return [f"{name}={marked[name]}" for name in ("PYTHONPATH", processes.MARK)]
