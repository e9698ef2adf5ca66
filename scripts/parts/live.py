"""scripts/live: one stack, for real, in the operator's own account."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from resilience.adapters.kit import Kit
from resilience.adapters.shells import Shells
from resilience.adapters.vendor_preflight import preflight
from resilience.engine.trial import trial
from resilience.errors import Exit, Refused, ResilienceError, UsageError
from resilience.model import CLOUDS, Fleet, Site, SiteOutputs
from resilience.wire import Home, site_cloud

CLOSED = (21, 25, 111, 3306, 5432, 8080, 9100)
"""Ports that must not answer, of those that often do by mistake."""
WITHIN = {"id -u": "0", "cut -d. -f1 /etc/debian_version": "12", "dpkg --print-architecture": "amd64"}
"""What a host says to these, whoever its vendor is."""


def chosen(fleet: Fleet, vendor: str) -> Site:
    """The first site at this vendor, under a name of its own: a live one is never touched."""
    sites = [site for site in fleet.sites if site.vendor == vendor and site.stack in CLOUDS]
    if not sites:
        known = sorted({site.vendor for site in fleet.sites if site.stack in CLOUDS})
        raise UsageError(
            f"No site at {vendor} could be tried for real.",
            f"The fleet has sites made by a vendor's stack at: {', '.join(known) or 'none'}.",
            'Add a [[site]] with stack = "aws", "gcp", "hetzner" or "openstack".',
        )
    return replace(sites[0], name=f"try-{sites[0].name}"[:31], live=None)


def worst(args: argparse.Namespace) -> float:
    """What it costs if it takes all the time it may."""
    return float(args.price_per_hour * args.minutes / 60)


def askable(args: argparse.Namespace) -> None:
    """Refused where what was allowed does not suffice, or where nobody could be asked."""
    if worst(args) > args.at_most:
        raise Refused(
            f"{args.minutes} minutes at {args.price_per_hour} an hour are {worst(args):.2f}: more than {args.at_most}.",
            "What you allowed would not cover the time you allowed.",
            "Give fewer --minutes, or allow more with --at-most.",
        )
    if not sys.stdin.isatty():
        raise Refused(
            "scripts/live asks twice, and nobody is there to answer.",
            "Its input is no terminal.",
            "Run it yourself, at a terminal.",
        )


def checked(site: Site, credentials: Mapping[str, str]) -> None:
    """Ask the vendor first, which makes nothing, and say each answer; one that fails ends it."""
    print(f"check: what {site.vendor} tells beforehand")
    trials = preflight(site, credentials)
    for told in trials:
        print(f"  {told.outcome}: {told.name}: {told.said}", flush=True)
    if failed := [told for told in trials if told.outcome == "fail"]:
        raise ResilienceError(
            f"Nothing was made: {', '.join(told.name for told in failed)} would not do.",
            "; ".join(told.said for told in failed),
            " ".join(told.next for told in failed),
        )


def agreed(site: Site, args: argparse.Namespace) -> None:
    """Ask twice; Refused for anything but the two words."""
    print(f"This makes a host of stack {site.stack} in {site.region}, in your account at {site.vendor},")
    print(f"for at most {args.minutes} minutes and about {worst(args):.2f}, and destroys it.")
    for question, answer in (
        ("Type the vendor's name to go on", site.vendor),
        ("Type what it may cost", f"{args.at_most:g}"),
    ):
        if input(f"{question} ({answer}): ").strip() != answer:
            raise Refused(
                "Nothing was made.", "That was not the answer that was asked for.", "Run it again if you meant it."
            )


def look(kit: Kit, made: SiteOutputs) -> list[str]:
    """Log in with the pinned key and compare; knock where nobody may answer."""
    shells = Shells(kit)
    try:
        shells.await_first_boot(made)
        said = {command: shells(made).check(command) for command in WITHIN}
    finally:
        shells.close()
    wrong = [
        f"{command} says {said[command]}, not {expected}"
        for command, expected in WITHIN.items()
        if said[command] != expected
    ]
    return wrong + [f"port {port} is open" for port in CLOSED if _answers(made.addresses[0], port)]


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=3).close()
    except OSError:
        return False
    return True


def main(argv: Sequence[str]) -> int:
    """Try it; the exit status says how it went."""
    parser = argparse.ArgumentParser(prog="scripts/live", description=__doc__)
    parser.add_argument("vendor")
    parser.add_argument("--fleet", type=Path, default=Path("fleet.toml"))
    parser.add_argument("--price-per-hour", type=float, required=True, help="of such a host, as the vendor shows it")
    parser.add_argument("--at-most", type=float, required=True, help="what it may cost, in the same currency")
    parser.add_argument("--minutes", type=int, default=30)
    args = parser.parse_args(argv)
    home = Home(args.fleet)
    fleet = home.load()
    site = chosen(fleet, args.vendor)
    kit = Kit(home.directory / fleet.kit)
    credentials = kit.credentials(site.vendor, site.stack)
    askable(args)
    checked(site, credentials)
    agreed(site, args)
    tried = trial(
        site_cloud(home, fleet, site),
        site,
        lambda made: look(kit, made),
        lambda said: print(f"  {said}", flush=True),
        capped(args.minutes * 60),
    )
    for complaint in tried.complaints:
        print(f"  wrong: {complaint}")
    if not tried.destroyed:
        print(f"Something may still run, and cost: look at {site.vendor} for what is tagged site={site.name}, and run")
        print(f"  scripts/live {' '.join(argv)}   again: it goes on from what its state knows.")
        return int(Exit.ERROR)
    if tried.complaints:
        return int(Exit.ERROR)
    day = datetime.now(UTC).date().isoformat()
    print(f"{site.stack} ran for real. Write into its [[site]] table: live = {day}")
    return int(Exit.DONE)


@contextmanager
def capped(seconds: float) -> Iterator[None]:
    """Raise in what is done within once so much time is over."""
    before = signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _late(number: int, frame: FrameType | None) -> NoReturn:
    raise ResilienceError(
        "The time is over.", "The cap that was agreed was reached.", "What was made is destroyed now."
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ResilienceError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(int(error.exit_code))
