"""What certificates in the vaults mean for a failover, and for the days before one."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.model import Fleet, Hazard, Phase, Step, Survey, Unknown
from resilience.model.finding import Finding

DAY = 86_400.0
SOON_S = 21 * DAY
"""Caddy renews a third of its life before a certificate ends: of 90 days later than that, renewing fails."""


def certify(fleet: Fleet, site: str) -> Iterator[Step]:
    """The step that sees to a certificate once the name leads to the site; none where it serves plain HTTP."""
    if fleet.names.authorities:
        reason = f"Users trust {fleet.names.host} at {site}; a new site will be trusted with no authority to ask."
        yield Step(f"{Phase.NAME}.certify.{site}", "certify", site, Phase.NAME, reason)


def without_certificate(fleet: Fleet, survey: Survey) -> Iterator[Hazard]:
    """No certificate that is still good would travel to the new site."""
    if not (why := unusable(fleet, survey)):
        return
    said = (
        f"{why}: an authority can issue one only after the name has moved, if it is reachable then; until it does, "
        f"browsers refuse {fleet.names.host}."
    )
    yield Hazard("no-certificate", f"{said[0].upper()}{said[1:]}")


def unusable(fleet: Fleet, survey: Survey) -> str:
    """Why what travels could not serve the name; empty where it can, and where the name needs none."""
    host = fleet.names.host
    if not fleet.names.authorities:
        return ""
    if isinstance(survey.certificate, Unknown):
        return f"what certificate travels is not known ({survey.certificate.why})"
    if survey.certificate is None:
        return "no vault holds a certificate"
    found = survey.certificate[0]
    if found.host != host:
        return f"the certificate in the vaults is for {found.host}"
    return "" if found.not_after > survey.at else f"the certificate in the vaults expired on {found.until}"


def tls_declared(fleet: Fleet) -> Iterator[Finding]:
    """Two authorities, because one may refuse the name like any other vendor."""
    host, known = fleet.names.host, [authority.name for authority in fleet.names.authorities]
    if len(known) > 1:
        yield Finding("certificate", host, "pass", f"{' and '.join(known)} can be asked for one")
    elif known:
        said = f"only {known[0]} can be asked for one: it may refuse the name as any vendor may"
        yield Finding("certificate", host, "warn", said, "Declare a second [[names.authority]], of another company.")
    elif not fleet.lab:
        said = "the site serves plain HTTP: passwords can be read on their way"
        yield Finding("certificate", host, "warn", said, "Declare two [[names.authority]]; docs/names.md names some.")


def tls_observed(fleet: Fleet, survey: Survey) -> Iterator[Finding]:
    """Whether what travels would serve the name at a new site, and for how long."""
    if not fleet.names.authorities:
        return
    host, seen = fleet.names.host, survey.certificate
    bring = "Run `resilience up` of the primary: it brings what is served into the vaults."
    if isinstance(seen, Unknown):
        yield Finding("certificate", host, "unknown", f"what travels is not known: {seen.why}", "Run the check again.")
    elif seen is None or (why := unusable(fleet, survey)):
        yield Finding("certificate", host, "fail", "no vault holds one" if seen is None else why, bring)
    elif seen[0].not_after < survey.at + SOON_S:
        said = f"{_told(survey)}: it was not renewed"
        yield Finding("certificate", host, "warn", said, f"See the proxy's log at the primary. {bring}")
    else:
        yield Finding("certificate", host, "pass", _told(survey))


def _told(survey: Survey) -> str:
    assert survey.certificate is not None
    assert not isinstance(survey.certificate, Unknown)
    found, vaults = survey.certificate
    return f"by {found.issuer}, until {found.until}, in {', '.join(vaults)}"
