"""The kit in shares: one sealed file, and words for several people of whom some together can open it.

The file is encrypted with age to a key of its own, whose 256 bits are split by SLIP-39. Fewer shares than
needed say nothing about it. (A passphrase would not do: how hard one is to try is measured where the file is sealed, and
a machine that is much slower, or busy, refuses to open it.) The file may lie anywhere; a share is for one person, on paper, where no vendor of the fleet is.
"""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Sequence
from pathlib import Path

import bech32
import pyrage
import shamir_mnemonic
import stamina
from shamir_mnemonic import MnemonicError

from resilience.errors import MissingPart, Refused, UsageError, VaultError
from resilience.keys import RECIPIENTS, keep

SEALED = "kit.age"
BY_PASSPHRASE = b"age-encryption.org/v1\n-> scrypt "
"""How a kit begins that an earlier build sealed."""

WHOLE = ("operator.key", "ledger.key", RECIPIENTS)
"""Without these a folder is no kit of a fleet, and a sealed copy of it would save nobody."""


def split(kit: Path, target: Path, people: int, needed: int) -> list[Path]:
    """Seal a copy of the kit into `target` and write one share for each of `people`, of whom `needed` can open it."""
    if not 2 <= needed <= people <= 16:  # noqa: PLR2004 - SLIP-39 knows at most 16 shares
        raise UsageError(
            f"{needed} of {people} shares is not possible.",
            "No single person may hold the kit, and SLIP-39 makes at most 16 shares.",
            "Choose 2 or more of at most 16, for example --need 3 --of 5.",
        )
    if not kit.exists():
        raise MissingPart(
            f"There is no kit in {kit}.",
            "Nothing could be shared.",
            "A new fleet's: `resilience kit make` first. Else give the fleet file that the kit is kept with: --fleet FILE.",
        )
    if lacking := [name for name in WHOLE if not (kit / name).is_file()]:
        raise MissingPart(
            f"{kit} is no whole kit: it lacks {', '.join(lacking)}.",
            "Shares of it would bring nobody back.",
            "Give the fleet file that the kit is kept with: --fleet FILE.",
        )
    _refuse_full(target)
    secret = secrets.token_bytes(32)
    target.mkdir(parents=True, mode=0o700, exist_ok=True)
    keep(target / SEALED, pyrage.encrypt(_packed(kit), [_identity(secret).to_public()]))
    (words,) = shamir_mnemonic.generate_mnemonics(1, [(needed, people)], secret)
    shares = [target / f"share-{number}.txt" for number in range(1, people + 1)]
    for path, share in zip(shares, words, strict=True):
        keep(path, f"{share}\n".encode())
    return shares


def combine(sealed: Path, shares: Sequence[str], target: Path) -> int:
    """Open a sealed kit with enough people's shares into an empty folder; the number of files."""
    _refuse_full(target)
    try:
        secret = shamir_mnemonic.combine_mnemonics([" ".join(share.split()) for share in shares])
    except MnemonicError as error:
        raise UsageError(
            "These shares do not fit together.", str(error), "Give one share for each person, as many as are needed."
        ) from error
    try:
        packed = _opened(sealed.read_bytes(), secret)
    except pyrage.DecryptError as error:
        raise VaultError(
            f"{sealed} does not open with these shares.",
            str(error),
            "They are of another kit, or the file was altered: try another copy of it.",
        ) from error
    target.mkdir(parents=True, mode=0o700, exist_ok=True)
    return _unpack(packed, target)


def _opened(data: bytes, secret: bytes) -> bytes:
    if data.startswith(BY_PASSPHRASE):
        return _by_passphrase(data, secret)
    return bytes(pyrage.decrypt(data, [_identity(secret)]))


@stamina.retry(on=lambda error: "Excessive work" in str(error), attempts=5)
def _by_passphrase(data: bytes, secret: bytes) -> bytes:
    """Each try measures anew how fast this machine is, which may only be busy."""
    return bytes(pyrage.passphrase.decrypt(data, secret.hex()))


def _identity(secret: bytes) -> pyrage.x25519.Identity:
    """The age key whose bytes these are (age's specification, "The X25519 recipient type")."""
    five_bits = bech32.convertbits(secret, 8, 5) or []
    return pyrage.x25519.Identity.from_str(bech32.bech32_encode("age-secret-key-", five_bits).upper())


def _packed(kit: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(path for path in kit.rglob("*") if path.is_file()):
            archive.add(path, arcname=str(path.relative_to(kit)), recursive=False)
    return packed.getvalue()


def _unpack(packed: bytes, target: Path) -> int:
    """Write the files below the folder, for their owner alone; nothing outside of it."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()}
        for name, file in files.items():
            path = (target / name).resolve()
            if file is None or not path.is_relative_to(target.resolve()):
                raise VaultError(f"{name} is no file of a kit.", "It leads out of the folder.", "Take another copy.")
            path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            keep(path, file.read())
    return len(files)


def _refuse_full(target: Path) -> None:
    if target.exists() and any(target.iterdir()):
        raise Refused(f"{target} is not empty.", "Keys there would be mixed or lost.", "Choose another folder.")
