"""What goes into a vault's stack and what comes out: VaultArgs in, the same principals out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pulumi

Credentials = dict[str, dict[str, str]]
"""By principal, as the kit's `vaults/VAULT.json` holds them."""


@dataclass(frozen=True, slots=True)
class VaultArgs:
    """What a vault's stack needs to know."""

    vault: str
    vendor: str
    bucket: str
    region: str
    fleet: str = ""
    endpoint: str = ""
    lock_days: int = 0
    """So long nobody can remove a version of an object, whoever he is."""
    boundary: str = ""
    """At AWS: the policy (ARN) that none of the principals may go beyond."""

    @classmethod
    def from_config(cls, config: pulumi.Config, stack: str) -> VaultArgs:
        """From the stack's configuration; the stack is called `vault-NAME`."""
        return cls(
            vault=stack.removeprefix("vault-"),
            vendor=config.require("vendor"),
            bucket=config.require("bucket"),
            region=config.require("region"),
            fleet=config.get("fleet") or "",
            endpoint=config.get("endpoint") or "",
            lock_days=config.get_int("lockDays") or 0,
            boundary=config.get("boundary") or "",
        )

    @property
    def tags(self) -> dict[str, str]:
        """What everything of this vault is marked with."""
        return {"fleet": self.fleet, "vault": self.vault, "made-by": "resilience"}

    def name(self, principal: str) -> str:
        """What the vendor is told to call one of them; Google allows 30 characters."""
        return f"{self.vault[:20]}-{principal}"


class MadeVault(Protocol):
    """What every vault's component offers."""

    bucket_name: pulumi.Input[str]
    credentials: pulumi.Output[Credentials]
    """Secret: only encrypted in state. Empty where the vendor's principals are made by hand."""


def export(args: VaultArgs, made: MadeVault) -> None:
    """Export the same for every vendor."""
    pulumi.export("vault", args.vault)
    pulumi.export("vendor", args.vendor)
    pulumi.export("bucket", made.bucket_name)
    pulumi.export("credentials", pulumi.Output.secret(made.credentials))
