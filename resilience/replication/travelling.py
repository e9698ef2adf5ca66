"""Certificates in the vaults: `tls/<ms since the Unix epoch, 13 digits>.json`, signed by the operator, the key sealed."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from resilience.errors import ResilienceError
from resilience.model.certificate import Certificate
from resilience.ports import SealedCertificate, Vault
from resilience.replication import seals
from resilience.replication.epoch import each

FORMAT = "resilience-tls/1"
PREFIX = "tls/"
NAMED = re.compile(r"tls/\d{13}\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class Travelling:
    """The newest certificate that any vault holds, and which of them do."""

    sealed: SealedCertificate
    vaults: tuple[str, ...]
    data: bytes
    key: str


def encode(sealed: SealedCertificate, sign: seals.Sign) -> bytes:
    """A certificate as it lies in a vault: who it is for and until when is open, all else is not."""
    body = {**asdict(sealed.certificate), "format": FORMAT, "sealed": base64.b64encode(sealed.sealed).decode()}
    return seals.canonical(seals.sign_json(body, sign))


def name(at: float) -> str:
    """The name of one that is put at this moment."""
    return f"{PREFIX}{at * 1000:013.0f}.json"


def newest(vaults: Mapping[str, Vault], verify: seals.Verify) -> Travelling | None:
    """The newest that is whole; what somebody else put or altered is passed over. Raises where no vault answers."""
    answers = each(vaults, lambda vault: [key for key in vault.list(PREFIX) if NAMED.fullmatch(key)])
    listed = {name: keys for name, keys in answers.items() if not isinstance(keys, ResilienceError)}
    if not listed and vaults:
        raise next(answer for answer in answers.values() if isinstance(answer, ResilienceError))
    for key in sorted({key for keys in listed.values() for key in keys}, reverse=True):
        holding = tuple(name for name, keys in listed.items() if key in keys)
        got = each({name: vaults[name] for name in holding}, lambda vault, key=key: vault.get(key))  # type: ignore[misc]
        whole = {
            n: (data, found) for n, data in got.items() if isinstance(data, bytes) and (found := _decode(data, verify))
        }
        if whole:
            data, found = next(iter(whole.values()))
            return Travelling(found, tuple(whole), data, key)
    return None


def _decode(data: bytes, verify: seals.Verify) -> SealedCertificate | None:
    value = seals.verified_json(data, verify)
    if value is None or value.get("format") != FORMAT:
        return None
    try:
        told = {field: value[field] for field in ("host", "issuer", "not_after", "fingerprint")}
        return SealedCertificate(Certificate(**told), base64.b64decode(value["sealed"]))
    except (KeyError, TypeError, ValueError):
        return None
