"""Certificates in the vaults: `tls/<ms since the Unix epoch, 13 digits>.json`, signed by the operator, the key sealed."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial

import structlog

from resilience.errors import ResilienceError
from resilience.model.certificate import Certificate
from resilience.ports import SealedCertificate, Vault
from resilience.replication import seals, signed
from resilience.replication.epoch import each
from resilience.replication.listed import TRIES, Doubt, in_turn

FORMAT = "resilience-tls/1"
PREFIX = "tls/"
NAMED = re.compile(r"tls/(?P<at_ms>\d{13})\.json", re.ASCII)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A certificate as a vault holds it."""

    key: str
    data: bytes
    sealed: SealedCertificate
    at_ms: int | None
    """When it was put; None in those of earlier versions: their names alone say so, and any vault's vendor gives names."""

    def rank(self, now: float) -> tuple[bool, bool, str, float]:
        """The highest counts: one that tells its moment, that has not ended, that was put last."""
        until = self.sealed.certificate.not_after
        return (self.at_ms is not None, until > now, self.key, until)


@dataclass(frozen=True, slots=True)
class Travelling:
    """The newest certificate that any vault holds, and which of them do."""

    bundle: Bundle
    vaults: tuple[str, ...]

    @property
    def sealed(self) -> SealedCertificate:
        """The certificate, and what is sealed beside it."""
        return self.bundle.sealed


def encode(sealed: SealedCertificate, at_ms: int, sign: seals.Sign) -> bytes:
    """A certificate as it lies in a vault: who it is for, until when, and when it was put are open, all else is not."""
    body = {
        **asdict(sealed.certificate),
        "format": FORMAT,
        "at_ms": at_ms,
        "sealed": base64.b64encode(sealed.sealed).decode(),
    }
    return seals.canonical(seals.sign_json(body, sign))


def name(at_ms: int) -> str:
    """The name of one that is put at this moment."""
    return f"{PREFIX}{at_ms:013d}.json"


def newest(vaults: Mapping[str, Vault], verify: seals.Verify, now: float) -> Travelling | None:
    """The newest that is whole, and has not ended where any has not; what somebody else put or altered is passed over.

    Raises where no vault answers.
    """
    answers = each(vaults, lambda vault: _newest_in(vault, verify, now))
    errors = [answer for answer in answers.values() if isinstance(answer, ResilienceError)]
    if errors and len(errors) == len(vaults):
        raise errors[0]
    found = {name: answer for name, answer in answers.items() if isinstance(answer, Bundle)}
    if not found:
        return None
    best = max(found.values(), key=lambda bundle: bundle.rank(now))
    return Travelling(best, tuple(name for name, bundle in found.items() if bundle == best))


def _newest_in(vault: Vault, verify: seals.Verify, now: float) -> Bundle | None:
    """The newest of one vault: old ones of earlier versions fit every name, so no more than a few names are looked at."""
    names = sorted(filter(NAMED.fullmatch, vault.list(PREFIX)), reverse=True)[:TRIES]
    best: Bundle | None = None
    for key, found in in_turn(vault, names, partial(decode, verify)):
        if isinstance(found, Doubt):
            log.warning("a certificate does not count", vault=vault.name, key=key, why=found)
            continue
        best = max(best or found, found, key=lambda bundle: bundle.rank(now))
        if best.rank(now)[:2] == (True, True):
            break
    return best


def decode(verify: seals.Verify, key: str, data: bytes) -> Bundle | Doubt:
    """The certificate under this name, or why it does not count."""
    value = seals.verified_json(data, verify)
    told = None if value is None or value.get("format") != FORMAT else signed.read(value, Certificate)
    if value is None or told is None:
        return Doubt("is no certificate that the operator signed")
    at_ms = value.get("at_ms")
    if at_ms is not None and (type(at_ms) is not int or key != name(at_ms)):
        return Doubt("is a certificate of another moment under this name")
    try:
        return Bundle(key, data, SealedCertificate(told, base64.b64decode(value["sealed"])), at_ms)
    except (KeyError, TypeError, ValueError):
        return Doubt("was signed and holds nothing that can be read")
