"""Fleet + what was seen -> findings: whether a failover could work, before it has to. Nothing unknown passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from resilience.decide.certificates import tls_declared, tls_observed
from resilience.decide.locks import locked_copies, untold
from resilience.decide.names import registered, zones_alike
from resilience.decide.quorum import newest_epoch, with_companions
from resilience.decide.replaying import replaying
from resilience.decide.restoring import restoring
from resilience.decide.standing import destroyable
from resilience.model import CLOUDS, Fleet, Site, Survey, Unknown
from resilience.model.cost import Prices
from resilience.model.finding import Finding, Grade, Seen
from resilience.model.probe import Probe

CLOCKS_APART_S = 60.0
"""Signed requests are refused beyond some minutes; a lease trusts clocks far less than that."""
LEFT_TO_YOU = "See the vendor's page in docs/vendors for what to look up, and where."


def declared(fleet: Fleet, serving: Site | None = None) -> tuple[Finding, ...]:
    """What the file alone tells of a fleet that is served from there; from its first site where nobody looked."""
    home = serving or fleet.primary
    file = (_losses(fleet, home), _companions(fleet, home), _name(fleet), tls_declared(fleet), _stacks(fleet))
    vaults = (_thieves(fleet), _locks(locked_copies(fleet)), _boundaries(fleet), _in_the_clear(fleet))
    return tuple(finding for part in (*file, _disks(fleet), *vaults) for finding in part)


def observed(fleet: Fleet, survey: Survey, seen: Seen, prices: Prices) -> tuple[Finding, ...]:
    """What vendors, vaults, zones and this machine showed."""
    return (
        *kit_findings(seen.lacking),
        *_accounts(survey),
        *_vaults(survey, seen),
        *_mirrors(fleet, survey, seen),
        *_locks(untold(fleet, survey)),
        *_snapshots_versions(seen),
        *_hosts_versions(fleet, survey, seen),
        *_zones(fleet, survey),
        *zones_alike(fleet, survey),
        *registered(fleet, survey),
        *tls_observed(fleet, survey),
        *_plugins(seen),
        *_vendors(fleet, seen),
        *restoring(fleet, survey, seen, prices),
        *replaying(fleet, seen.replay),
    )


def _losses(fleet: Fleet, serving: Site) -> Iterator[Finding]:
    """Each vendor in turn: whether a site is left to go to, and an epoch could still be sealed."""
    set_now = fleet.vaults_for(serving.name)
    for vendor in fleet.vendors:
        lost = with_companions(fleet, frozenset({vendor.name}))
        sites = [site.name for site in fleet.sites if site.vendor not in lost]
        left = [vault.name for vault in set_now if vault.vendor not in lost]
        if not sites:
            yield Finding("losing", vendor.name, "fail", "no site would be left", "Declare a site at one more vendor.")
        elif len(left) < fleet.replication.s:
            said = f"{len(left)} of the vaults would be left, and sealing an epoch takes {fleet.replication.s}"
            yield Finding(
                "losing", vendor.name, "warn", said, "Declare a vault at one more vendor, or accept a forced one."
            )
        else:
            yield Finding("losing", vendor.name, "pass", f"{sites[0]} and vaults {', '.join(left)} would be left")


def _companions(fleet: Fleet, serving: Site) -> Iterator[Finding]:
    """Vendors that belong together leave together."""
    parents = {vendor.name: vendor.parent for vendor in fleet.vendors if vendor.parent}
    home = fleet.vendor(serving.vendor)
    for vendor in fleet.vendors:
        related = {vendor.name, parents.get(vendor.name)} & {home.name, parents.get(home.name)} - {None}
        if vendor != home and related:
            said = f"it belongs to the same company as {home.name}, where the primary is"
            yield Finding("independence", vendor.name, "warn", said, f'Add it to the companions of "{home.name}".')


def _name(fleet: Fleet) -> Iterator[Finding]:
    led = [zone.vendor for zone in fleet.names.zones if not zone.spare]
    if len(led) < 2:  # noqa: PLR2004
        spare = "".join(f"; {zone.vendor} is spare" for zone in fleet.names.zones if zone.spare)
        said = f"only {led[0]} is asked for it: with that vendor the name is lost{spare}"
        yield Finding("name", fleet.names.host, "warn", said, "Declare [[names.zone]] at one more vendor.")
    if fleet.names.ttl_s > fleet.promise.rto_s:
        said = f"resolvers keep old answers for {fleet.names.ttl_s} s, and {fleet.promise.rto_s:g} s are promised"
        yield Finding("name", fleet.names.host, "fail", said, "Lower names.ttl_s, well before it is needed.")


def _stacks(fleet: Fleet) -> Iterator[Finding]:
    for site in fleet.sites:
        level = site.evidence.level
        if level == "live":
            yield Finding("stack", site.name, "pass", f"{site.stack} ran for real on {site.evidence.on}")
        else:
            said = f"{site.stack} was never run for real: {site.evidence}"
            yield Finding(
                "stack",
                site.name,
                "warn",
                said,
                f"Run scripts/live {site.vendor} in an account of your own: docs/vendors/README.md.",
            )


ENCRYPT_IT = 'Encrypt it, with a way to unlock it after a power cut; then say so: disk = "luks".'


def _disks(fleet: Fleet) -> Iterator[Finding]:
    """Who could read a disk that was taken out of a host: copies in vaults are encrypted by us, hosts' disks are not."""
    for site in fleet.sites:
        if site.disk_key:
            said = "what is ours on its disk is encrypted with a key that is not on it; after a boot it waits for `resilience up`"
            yield Finding("disk", site.name, "pass", said)
        elif site.encrypted and site.stack == "baremetal":
            yield Finding(
                "disk", site.name, "pass", f"by your word it is encrypted ({site.disk}); nobody here can tell"
            )
        elif site.encrypted:
            said = "its disk is encrypted with a key that the vendor holds: against thieves, not against the vendor"
            yield Finding("disk", site.name, "pass", said)
        elif site.stack in CLOUDS:
            said = f"the {site.stack} stack does not encrypt its disk: whoever takes it out reads the database"
            kinds = 'Give a kind of volume that the vendor encrypts: disk = "…". '
            advice = "Encrypt what is ours with a key of your own: disk_key = true; docs/vendors/hetzner.md says what follows."
            advice = kinds + advice if site.stack == "openstack" else advice
            yield Finding("disk", site.name, "warn", said, advice)
        elif not fleet.lab:
            said = "nobody here can tell whether its disk is encrypted"
            yield Finding("disk", site.name, "unknown", said, ENCRYPT_IT)


def _thieves(fleet: Fleet) -> Iterator[Finding]:
    """What somebody with the kit could destroy. A lab's copies are worth nothing to anybody."""
    for hazard in () if fleet.lab else destroyable(fleet):
        advice = "Give one vault a lock that nobody can lift: lock_days, at a vendor of S3 that has such a thing."
        yield Finding("vault", "all copies", "warn", f"{hazard.name}: {hazard.why}", advice)


def _boundaries(fleet: Fleet) -> Iterator[Finding]:
    """Whether the account's key, which makes a vault's users, is kept from making an administrator."""
    for spec in fleet.vaults:
        if spec.stack == "aws" and not spec.boundary:
            said = (
                "its users have no boundary, so the key that makes them has to be one that could make an administrator"
            )
            advice = 'Make the policy that docs/vendors/aws.md shows, then say so: boundary = "arn:aws:iam::…".'
            yield Finding("vault", spec.name, "warn", said, advice)


def _in_the_clear(fleet: Fleet) -> Iterator[Finding]:
    """Whether a vault is asked by plain HTTP over lines that others share."""
    for spec in fleet.vaults:
        where = urlsplit(spec.endpoint)
        if where.scheme == "http" and not fleet.lab and not _near(where.hostname or ""):
            said = f"{spec.endpoint} is asked without TLS: whoever is on the way sees names, and can alter answers"
            yield Finding("vault", spec.name, "warn", said, "Write https://…, as the store's own page has it.")


def _near(host: str) -> bool:
    """Whether this is an address of this machine or of a private network."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost"


def _locks(told: Iterable[tuple[str, str, str]]) -> Iterator[Finding]:
    """A locked vault also holds what people deleted."""
    for vault, said, advice in told:
        yield Finding("vault", vault, "warn", f"locked-copies: {said}", advice)


def kit_findings(lacking: tuple[str, ...]) -> Iterator[Finding]:
    """Each thing that the kit lacks, or that it lacks nothing."""
    for what in lacking:
        yield Finding(
            "kit",
            "credentials",
            "fail",
            what,
            "Bring the kit that has it; a new fleet's comes from `resilience kit make` (docs/first-day.md says who makes what, docs/vendors what a vault's file holds).",
        )
    if not lacking:
        yield Finding("kit", "credentials", "pass", "every key that a failover needs is there")


def _accounts(survey: Survey) -> Iterator[Finding]:
    for vendor, is_open in survey.accounts.items():
        if isinstance(is_open, Unknown):
            yield Finding(
                "account", vendor, "unknown", is_open.why, "Ask it by another way; see the vendor's status page."
            )
        elif is_open:
            yield Finding("account", vendor, "pass", "open")
        else:
            yield Finding(
                "account", vendor, "fail", "it answers as a closed account does", "Read runbooks/, then `plan`."
            )


def _vaults(survey: Survey, seen: Seen) -> Iterator[Finding]:
    for name, reading in survey.vaults.items():
        if isinstance(reading.epoch, Unknown):
            yield Finding(
                "vault", name, "fail", reading.epoch.why, "See its endpoint, bucket and credentials in the kit."
            )
            continue
        yield from _probed(name, seen)
        yield from _clock(name, seen)


def _mirrors(fleet: Fleet, survey: Survey, seen: Seen) -> Iterator[Finding]:
    """Stores for copies only: what they were seen to do, and whether anything is there yet."""
    for spec in fleet.mirrors:
        yield from _probed(spec.name, seen)
        held = survey.mirrors.get(spec.name)
        if isinstance(held, Unknown):
            yield Finding(
                "vault", spec.name, "unknown", f"what it holds is not known: {held.why}", "Run the check again."
            )
        elif held is None:
            yield Finding("vault", spec.name, "warn", "nothing was copied there yet", "Run `resilience snapshot`.")


def _probed(name: str, seen: Seen) -> Iterator[Finding]:
    probe = seen.probes.get(name, Unknown("it was not tried"))
    if isinstance(probe, Unknown):
        yield Finding("vault", name, "unknown", f"its store could not be tried: {probe.why}", "Run the check again.")
        return
    for trial in probe.trials:
        if trial.outcome != "pass" and not probe.excused(trial):
            yield Finding("vault", name, trial.outcome, f"{trial.name}: {trial.said}", trial.next)
    if probe.well and probe.mirror:
        once = next(trial for trial in probe.trials if trial.name == "conditional-create")
        said = f"it holds copies, and never counts in n: {_trials(probe)}; {once.name}: {once.outcome}, {once.said}"
        yield Finding("vault", name, "pass", said)
    elif probe.well:
        yield Finding("vault", name, "pass", f"it may count in n, and refuses what it must: {_trials(probe)}")


def _trials(probe: Probe) -> str:
    return f"{len(probe.trials)} trials"


def _clock(name: str, seen: Seen) -> Iterator[Finding]:
    skew = seen.skew_s.get(name, Unknown("it does not say"))
    if isinstance(skew, Unknown):
        yield Finding("clock", name, "unknown", f"its time is not known: {skew.why}")
        return
    grade: Grade = "pass" if abs(skew) <= CLOCKS_APART_S else "fail"
    ahead = "ahead of" if skew >= 0 else "behind"
    advice = (
        "" if grade == "pass" else "Set this machine's clock: vendors refuse requests that are signed at another time."
    )
    yield Finding("clock", name, grade, f"{abs(skew):.0f} s {ahead} this machine", advice)


def _snapshots_versions(seen: Seen) -> Iterator[Finding]:
    """Of which architecture, Postgres and collation the copies are, by the vaults' newest labels."""
    told = {vault: dict(found) for vault, found in seen.versions.items() if not isinstance(found, Unknown)}
    different = {tuple(sorted(found.items())) for found in told.values()}
    if len(different) > 1:
        said = "; ".join(f"{vault}: {', '.join(found.values())}" for vault, found in told.items())
        grade: Grade = "fail" if len({tuple(sorted(_kind(found).items())) for found in told.values()}) > 1 else "warn"
        yield Finding("versions", "snapshots", grade, said, "Take new snapshots: `resilience up` of the primary does.")
    elif different:
        yield Finding(
            "versions",
            "snapshots",
            "pass",
            f"the newest of each vault is of {', '.join(v for _, v in different.pop())}",
        )
    else:
        yield Finding(
            "versions", "snapshots", "unknown", "no vault shows a snapshot", "Run `resilience up` of the primary."
        )


def _hosts_versions(fleet: Fleet, survey: Survey, seen: Seen) -> Iterator[Finding]:
    """A physical copy starts on the same architecture, Postgres and collation only: each host says what it has."""
    copies = [dict(found) for found in seen.versions.values() if not isinstance(found, Unknown)]
    epoch = newest_epoch(survey)
    serving = epoch.site if epoch else fleet.primary.name
    for site in fleet.sites:
        host = seen.hosts.get(site.name, Unknown("it was not asked"))
        if host is None and site.standby == "cold" and site.name != serving:
            said = (
                f"nothing runs at a cold site; `resilience rehearse --to {site.name}` shows whether copies start there"
            )
            yield Finding("versions", site.name, "pass", said)
            continue
        host = Unknown("no host was made there") if host is None else host
        if isinstance(host, Unknown):
            said = f"whether copies start there is not known: {host.why}"
            advice = f"Bring the app back there once: `resilience rehearse --to {site.name}`."
            yield Finding("versions", site.name, "unknown", said, advice)
            continue
        said = ", ".join(host.values()) or "nothing"
        names = {name for found in copies for name in found}
        if not any(_starts(_kind(found), _kind(host)) for found in copies if found):
            advice = f"Make it like where snapshots are taken: the supplies' own Postgres comes by `resilience up {site.name}`."
            grade: Grade = "fail" if names else "unknown"
            yield Finding(
                "versions", site.name, grade, f"its host has {said}; no vault's newest snapshot is of that", advice
            )
        elif lacking := sorted(names - set(host)):
            said = f"its host has {said}; its {' and '.join(lacking)} can't be told while no database runs there"
            yield Finding(
                "versions",
                site.name,
                "unknown",
                said,
                f"See it in a rehearsal: `resilience rehearse --to {site.name}`.",
            )
        elif not any(_starts(found, host) for found in copies if found):
            advice = f"Copies start there; bring it to the same minor version by `resilience up {site.name}`."
            yield Finding("versions", site.name, "warn", f"its host has another minor version: {said}", advice)
        else:
            yield Finding("versions", site.name, "pass", f"its host has what the snapshots are of: {said}")


def _kind(found: Mapping[str, str]) -> dict[str, str]:
    """What a physical copy must find again: of Postgres' version only the major one."""
    return {name: has.split(".")[0] if name == "postgres" else has for name, has in found.items()}


def _starts(copy: Mapping[str, str], host: Mapping[str, str]) -> bool:
    """Whether the host has what the copy is of, as far as it tells."""
    return all(host.get(name, has) == has for name, has in copy.items())


def _zones(fleet: Fleet, survey: Survey) -> Iterator[Finding]:
    answers = {vendor: reading.addresses for vendor, reading in survey.zones.items()}
    for vendor, addresses in answers.items():
        if isinstance(addresses, Unknown):
            yield Finding("name", vendor, "fail", addresses.why, "See its key in the kit, and whether it is alive.")
    told = {frozenset(found) for found in answers.values() if not isinstance(found, Unknown)}
    if len(told) > 1:
        said = "its DNS vendors serve different addresses"
        yield Finding("name", fleet.names.host, "fail", said, "Run the failover or `up` again: it points every vendor.")
    elif told:
        shown = ", ".join(sorted(told.pop())) or "nowhere yet"
        yield Finding("name", fleet.names.host, "pass", f"every vendor that answers serves {shown}")


def _plugins(seen: Seen) -> Iterator[Finding]:
    for stack, there in seen.plugins.items():
        if there:
            yield Finding("provider", stack, "pass", "its plugin is on this machine")
        else:
            said = "its plugin is not on this machine: a failover would need a network for it"
            yield Finding("provider", stack, "fail", said, f"Run `pulumi plugin install resource {stack}` now, once.")


def _vendors(fleet: Fleet, seen: Seen) -> Iterator[Finding]:
    """What each site's vendor told; what no interface tells is said, so that it is not taken for asked."""
    for site in fleet.sites:
        if site.stack not in CLOUDS:
            continue
        told = seen.vendors.get(site.name, Unknown("it was not asked"))
        if isinstance(told, Unknown):
            said = f"quota, region, image, the account's age and its payments are not known: {told.why}"
            yield Finding("vendor", site.name, "unknown", said, LEFT_TO_YOU)
            continue
        for trial in told:
            yield Finding("vendor", site.name, trial.outcome, f"{trial.name}: {trial.said}", trial.next)
