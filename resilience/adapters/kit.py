"""The kit: the fleet's keys and credentials, as files beside the fleet file, mode 0600.

::

    ssh_ed25519[.pub]   the operator's SSH key           operator.key    seals epochs
    passphrase          of the stacks' state             ledger.key      the app signs its ledger
    age/NAME.txt        identities that open copies      age/recipients.txt   who can open them
    restic/VAULT.txt    password of a vault's snapshots  vaults/VAULT.json    credentials by principal
    accounts/VENDOR.txt account API token                dns/VENDOR.txt       DNS API key
    accounts/VENDOR.env what a vendor's provider reads from its environment (NAME=value)
    host_keys/ADDRESS.pub   of hosts that are simply there
    sites/SITE-EPOCH.key  what a site's host signs with in one epoch
    sites/SITE-EPOCH.pass  lets the operator's own request through that site's gate while it is closed
    vapid.key           the app's name at push services    signups.key     opens passwords that wait in line
    acme/NAME.env, acme/NAME.pem   our account at a certificate authority (EAB), and its root where no system knows it
    endpoints.pub, endpoints.json   whose list of addresses clients follow, and the list (its key may be offline)
    hold.pub            to whom the app seals legal holds (age1…), if anybody; the private half is in no kit
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from resilience import keys
from resilience.adapters import credentials
from resilience.errors import MissingPart, UsageError


@dataclass(frozen=True)
class Kit:
    """One fleet's kit."""

    directory: Path

    @property
    def ssh_key(self) -> Path:
        """The private key with which the operator gets into hosts."""
        return self._file("ssh_ed25519")

    @property
    def ssh_public_key(self) -> str:
        """Its public half, as authorized_keys has it."""
        return self._text("ssh_ed25519.pub")

    @property
    def passphrase_file(self) -> Path:
        """The passphrase of the stacks' state."""
        return self._file("passphrase")

    @property
    def operator_key(self) -> Path:
        """The key that seals epochs."""
        return self._file("operator.key")

    @property
    def ledger_key(self) -> Path:
        """The key with which the app signs its ledger."""
        return self._file("ledger.key")

    def identity(self, name: str = "standby") -> str:
        """An age identity, with those it replaced: it opens every copy, so it only travels for a restore."""
        lines = self._text(f"age/{name}.txt").splitlines()
        return "\n".join(line for line in lines if line.startswith("AGE-SECRET-KEY-"))

    @property
    def recipients_text(self) -> str:
        """Who can open copies, a line each."""
        return self._text(keys.RECIPIENTS)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Public age keys to which every copy is encrypted."""
        lines = self.recipients_text.splitlines()
        return tuple(line.split()[0] for line in lines if line.startswith("age1"))

    def vault(self, vault: str, principal: str) -> dict[str, str]:
        """Credentials of one principal (ship, standby, reader, operator) at one vault."""
        found = self._principals(vault)
        if principal not in found:
            raise MissingPart(
                f"The kit has no credentials of {principal} at vault {vault}.",
                f"{self.directory / _vault_file(vault)} names: {', '.join(found)}.",
                "Make them at the vendor with the rights in docs/threat-model.md, and add them.",
            )
        return found[principal]

    def has(self, vault: str, principal: str) -> bool:
        """Whether there are credentials of this principal at this vault."""
        return (self.directory / _vault_file(vault)).is_file() and principal in self._principals(vault)

    def keep_vault(self, vault: str, credentials: dict[str, dict[str, str]]) -> None:
        """Keep what a vault's stack made, beside what was there."""
        path = self.directory / _vault_file(vault)
        held = self._principals(vault) if path.exists() else {}
        keys.keep(path, json.dumps({**held, **credentials}, indent=1).encode())

    def _principals(self, vault: str) -> dict[str, dict[str, str]]:
        """Everybody's credentials at one vault, from a file that a person may have typed."""
        path = self._file(_vault_file(vault))
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise _no_credentials(path, f"It is no JSON: {error}.") from error
        if not isinstance(found, dict):
            raise _no_credentials(path, "It is JSON, and no object that holds an object for each principal.")
        principals = {who: theirs for who, theirs in found.items() if isinstance(theirs, dict)}
        return {who: {name: str(value) for name, value in theirs.items()} for who, theirs in principals.items()}

    def restic_password(self, vault: str) -> str:
        """Password of the snapshots in one vault."""
        return self._text(keys.restic_file(vault))

    def standby_password(self, vault: str) -> str:
        """Password of the snapshots that standbys take, in one vault.

        It comes from the operator's key, which every kit has: no copy of the kit is too old for it, and no site can make it.
        """
        return self._derived(f"resilience standby snapshots {vault}", 32).hex()

    def disk_key(self, site: str) -> bytes:
        """Key of what is ours on a site's disk, made from the operator's key in the same way; the host never keeps it."""
        return self._derived(f"resilience disk {site}", 64)

    def _derived(self, purpose: str, size: int) -> bytes:
        key = serialization.load_pem_private_key(self.operator_key.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError("operator.key is no Ed25519 key.", "Another kind is in the file.", "Bring the kit back.")
        return HKDF(hashes.SHA256(), size, salt=None, info=purpose.encode()).derive(key.private_bytes_raw())

    def account(self, vendor: str) -> str:
        """Token for a vendor's account API."""
        return self._text(f"accounts/{vendor}.txt")

    def credentials(self, vendor: str, stack: str) -> dict[str, str]:
        """What the provider of this stack reads from its environment."""
        return credentials.read(self.directory / "accounts" / f"{vendor}.env", stack)

    def dns(self, vendor: str) -> str:
        """Key for a DNS vendor's API."""
        return self._text(f"dns/{vendor}.txt")

    def authority(self, name: str) -> tuple[str, tuple[str, str] | None]:
        """A certificate authority's root, if it needs one of its own, and the account it binds ours to, if it asks for one."""
        root, account = self.directory / f"acme/{name}.pem", self.directory / f"acme/{name}.env"
        bound = credentials.parse(account.read_text()) if account.is_file() else {}
        if bound and not {"EAB_KEY_ID", "EAB_HMAC_KEY"} <= set(bound):
            raise MissingPart(
                f"The kit lacks EAB_KEY_ID or EAB_HMAC_KEY in acme/{name}.env.",
                "The authority binds an account to both.",
                "Write one NAME=value a line; the authority's own pages show them.",
            )
        text = root.read_text() if root.is_file() else ""
        return text, (bound["EAB_KEY_ID"], bound["EAB_HMAC_KEY"]) if bound else None

    def host_key(self, address: str) -> str:
        """SSH host key of a host that is simply there."""
        return self._text(f"host_keys/{address}.pub")

    def site_key(self, site: str, epoch: int) -> Path:
        """The key a site's host signs with in one epoch; made when it is not there, alike from every copy of the kit."""
        return self._made(_site_file(site, epoch), lambda: self.site_secret(site, epoch))

    def site_secret(self, site: str, epoch: int) -> bytes:
        """What such a key's file holds, or would hold."""
        path = self.directory / _site_file(site, epoch)
        return path.read_bytes() if path.exists() else self.own_secret(site, epoch)

    def own_secret(self, site: str, epoch: int) -> bytes:
        """The key that is made for one epoch alone."""
        return keys.signing_key(self._derived(f"resilience site {site} {epoch}", 32))

    @property
    def vapid_key(self) -> Path:
        """The key by which push services know the app; made when it is not there."""
        return self._made("vapid.key", keys.vapid_key)

    @property
    def signups_key(self) -> Path:
        """The key that opens passwords of people who wait in line; made when it is not there."""
        return self._made("signups.key", keys.signups_key)

    @property
    def app_keys(self) -> dict[str, Path]:
        """What the app on a host needs of the kit, by file name there."""
        return {"ledger.key": self.ledger_key, "vapid.key": self.vapid_key, "signups.key": self.signups_key}

    @property
    def endpoints(self) -> tuple[str, str] | None:
        """Public key and signed list of the app's addresses, if the operator has signed one."""
        if not (self.directory / "endpoints.json").is_file():
            return None
        return self._text("endpoints.pub"), self._text("endpoints.json")

    @property
    def hold_recipient(self) -> str | None:
        """Whom the app seals legal holds for, if the operator named anybody."""
        if not (self.directory / "hold.pub").is_file():
            return None
        recipient = self._text("hold.pub").strip()
        refuse_strange(recipient, "hold.pub: ")
        return recipient

    def _made(self, name: str, make: Callable[[], bytes]) -> Path:
        """A file of the kit; made, never half, when it is not there."""
        path = self.directory / name
        if not path.exists():
            keys.keep(path, make())
        return path

    def carry_over(self, site: str, older: int, newer: int) -> None:
        """The same key and pass under a newer number: the same host goes on."""
        keys.keep(self.directory / _site_file(site, newer), self.site_secret(site, older))
        keys.keep(self.directory / _pass_file(site, newer), self.gate_pass(site, older).encode())

    def start_anew(self, site: str, epoch: int) -> None:
        """A key and a pass that are this epoch's alone."""
        keys.keep(self.directory / _site_file(site, epoch), self.own_secret(site, epoch))
        keys.keep(self.directory / _pass_file(site, epoch), self._own_pass(site, epoch))

    def gate_pass(self, site: str, epoch: int) -> str:
        """What lets the operator's own request through a site's gate in one epoch; made as the site's key is."""
        return self._made(_pass_file(site, epoch), lambda: self._own_pass(site, epoch)).read_text()

    def _own_pass(self, site: str, epoch: int) -> bytes:
        return self._derived(f"resilience gate {site} {epoch}", 32).hex().encode()

    def _file(self, name: str) -> Path:
        path = self.directory / name
        if not path.is_file():
            new = not self.directory.exists()
            raise MissingPart(
                f"There is no kit in {self.directory}." if new else f"The kit lacks {name}.",
                f"{path} is not there.",
                "A new fleet's: `resilience kit make`. Else bring the fleet's kit to this machine."
                if new
                else "`resilience check` lists all that is missing; docs/first-day.md says who puts what there.",
            )
        return path

    def _text(self, name: str) -> str:
        return self._file(name).read_text().strip()


def _vault_file(vault: str) -> str:
    return f"vaults/{vault}.json"


def _no_credentials(path: Path, why: str) -> MissingPart:
    return MissingPart(
        f"{path} holds no credentials that can be read.",
        why,
        "Write it as the vault's page in docs/vendors shows (s3.md, gcp.md, sftp.md), then `resilience check`.",
    )


def _site_file(site: str, epoch: int) -> str:
    return f"sites/{site}-{epoch:08d}.key"


def _pass_file(site: str, epoch: int) -> str:
    return f"sites/{site}-{epoch:08d}.pass"


def refuse_strange(recipient: str, where: str = "") -> None:
    """Refuse what is not the public half of an age key."""
    try:
        pyrage.x25519.Recipient.from_str(recipient)
    except pyrage.RecipientError as error:
        raise UsageError(
            f"{where}{recipient[:20]}… is no age recipient.",
            str(error),
            "It begins with age1; never give a secret key here.",
        ) from error
