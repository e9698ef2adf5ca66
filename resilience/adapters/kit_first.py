"""The first kit of a fleet: every key that it makes for itself, and what is left for a person to put there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from resilience import keys
from resilience.adapters.credentials import NEEDED
from resilience.errors import Refused, UsageError
from resilience.model import Fleet, VaultSpec
from resilience.model.rights import PRINCIPALS

IGNORED = ".gitignore"
MAKES_PRINCIPALS = {"aws", "gcp"}
"""Stacks that make a vault's principals with its bucket; elsewhere a person makes them."""

PAGES: Mapping[str, str] = {"s3": "s3", "gcs": "gcp", "sftp": "sftp"}
"""Which vendor's page shows what a vault's credentials look like."""


def make(kit: Path, fleet: Fleet, escrow: Path | None = None) -> None:
    """Write a kit where none is, whole or not at all; the escrow identity, if any, goes into a file outside of it."""
    refuse_present(kit)
    if escrow is not None:
        _refuse_place(kit, escrow)
    try:
        kit.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{kit.name}-", dir=kit.parent))
        try:
            made, secret = _files(fleet, escrow=escrow is not None)
            for name, data in made.items():
                keys.keep(new / name, data)
            if escrow is not None:
                keys.keep(escrow, secret)
            _into_place(new, kit, escrow)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise UsageError(
            f"The kit can't be written to {kit}.", str(error), "Choose a folder of your own: `kit` in the fleet file."
        ) from error


def add_vaults(kit: Path, fleet: Fleet, known: Callable[[VaultSpec], str]) -> list[str]:
    """In a kit that is there: a password for the snapshots in each new vault; which. `known` tells why one is not new, if so."""
    if not (kit / "operator.key").is_file():
        raise UsageError(f"{kit} is no kit.", "It lacks operator.key.", "Make one: `resilience kit make`.")
    lacking = [vault for vault in fleet.sealing if not (kit / keys.restic_file(vault.name)).exists()]
    for vault in lacking:
        if why := known(vault):
            raise _not_new(vault, why)
    for vault in lacking:
        keys.keep(kit / keys.restic_file(vault.name), keys.password())
    return [vault.name for vault in lacking]


def _not_new(vault: VaultSpec, why: str) -> Refused:
    return Refused(
        f"{vault.name} is not new, and the kit lacks the password of its snapshots. Nothing was made.",
        f"{why} A new password would open none of them, and hide that the old one is lost.",
        f"Bring {keys.restic_file(vault.name)} back from another copy of the kit, or from its shares: `resilience kit combine`. "
        "Where nobody has it, declare another vault in this one's place (a new name, an empty bucket), then `resilience vaults`.",
    )


def by_hand(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """What only a vendor or a person can give: the file in the kit, and what it holds."""
    stacks = {(site.vendor, site.stack) for site in fleet.sites} | {
        (vault.vendor, vault.stack) for vault in fleet.vaults
    }
    for vendor, stack in sorted(one for one in stacks if one[1] in NEEDED):
        yield f"accounts/{vendor}.env", f"{', '.join(NEEDED[stack])}, one NAME=value a line (docs/vendors/{stack}.md)"
    for vendor in (vendor.name for vendor in fleet.vendors if vendor.account):
        yield f"accounts/{vendor}.txt", "the token of its account API"
    for site in fleet.sites:
        for address in site.addresses:
            yield (
                f"host_keys/{address}.pub",
                "the host's own /etc/ssh/ssh_host_ed25519_key.pub (docs/vendors/baremetal.md)",
            )
    for zone in fleet.names.zones:
        yield f"dns/{zone.vendor}.txt", f"its key for a zone of kind {zone.kind} (docs/names.md)"
    for vault in (vault for vault in fleet.vaults if vault.stack not in MAKES_PRINCIPALS):
        who = "operator, reader" if vault.copies_only else ", ".join(PRINCIPALS)
        yield f"vaults/{vault.name}.json", f"credentials of {who} (docs/vendors/{PAGES[vault.kind]}.md)"
    for authority in fleet.names.authorities:
        yield f"acme/{authority.name}.env", "EAB_KEY_ID, EAB_HMAC_KEY, if it binds accounts (docs/names.md)"


def refuse_present(kit: Path) -> None:
    """Refuse to write where anything is: a key that was written over opens nothing any more."""
    if kit.exists() and (not kit.is_dir() or any(kit.iterdir())):
        raise Refused(
            f"There is a kit in {kit}.",
            "Keys are never written over: what they closed would stay closed.",
            "Keep it. A vault was added? `resilience kit make --new-vaults`. A key leaked? `resilience kit rotate NAME` (`kit list` shows the names).",
        )


def _into_place(new: Path, kit: Path, escrow: Path | None) -> None:
    try:
        new.rename(kit)
    except OSError:
        if escrow is not None:
            escrow.unlink()  # it belongs to no kit
        raise


def _files(fleet: Fleet, *, escrow: bool) -> tuple[dict[str, bytes], bytes]:
    """The kit's files, that which keeps them out of git first; and the escrow identity, which goes elsewhere."""
    made = {IGNORED: b"*\n", **keys.first(vault.name for vault in fleet.sealing)}
    if not escrow:
        return made, b""
    recipient, text = keys.age_identity()
    made[keys.RECIPIENTS] += f"{recipient} # escrow\n".encode()
    return made, text


def _refuse_place(kit: Path, escrow: Path) -> None:
    if escrow.resolve().is_relative_to(kit.resolve()):
        raise UsageError(f"{escrow} is in the kit.", "Escrow is for the day the kit is gone.", "Give a file elsewhere.")
    if escrow.exists() or not escrow.parent.is_dir():
        raise UsageError(
            f"{escrow} can't be made.",
            "Something is there, and it is not written over." if escrow.exists() else "Its folder is not there.",
            "Give a new file, on a medium that leaves this machine.",
        )
