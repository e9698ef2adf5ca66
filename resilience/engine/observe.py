"""World -> Survey: ask everything at once; what does not answer is Unknown, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from resilience.decide import leads_on, with_companions
from resilience.decide.heard import fresh
from resilience.decide.names import wanted
from resilience.decide.quorum import newest_epoch as newest_shown
from resilience.engine import proofs
from resilience.engine.certificates import travelling
from resilience.engine.mirror import look
from resilience.engine.orders import listing, no_posts, not_obeyed
from resilience.engine.past import past_of
from resilience.errors import ResilienceError, TooFewVaults, VendorClosed
from resilience.model import (
    Certificate,
    EpochRecord,
    Fleet,
    MirrorReading,
    Reading,
    Registration,
    Site,
    SiteOutputs,
    SiteReading,
    Survey,
    Unknown,
    VaultReading,
    ZoneReading,
    newest_first,
)
from resilience.ports import Vault, World
from resilience.replication import filled, layout
from resilience.replication.anchors import Ledgers, to_ask
from resilience.replication.epoch import (
    each,
    get_from,
    left_behind,
    newest_epoch,
    newest_of,
    rivals_of,
    settled_of,
    to_fence,
)
from resilience.replication.patient import patiently

T = TypeVar("T")


def read(ask: Callable[[], T]) -> Reading[T]:
    """The answer, or Unknown with the reason it could not be had."""
    try:
        return ask()
    except VendorClosed as error:
        return Unknown(f"{error.vendor} answers as for a closed account: {error.code}")
    except ResilienceError as error:
        return Unknown(error.what)


def observe(world: World, fleet: Fleet, skip: frozenset[str] = frozenset()) -> Survey:
    """One reading of everything, in parallel. Vendors in `skip` are not called at all, and a vault that hangs is waited for once."""
    world = replace(world, vaults=patiently(world.vaults))
    with ThreadPoolExecutor(max_workers=16, thread_name_prefix="observe") as pool:
        vendors = {v.name: v.vendor for v in fleet.vaults}
        accounts = {n: pool.submit(_account, world, n, skip) for n in world.accounts}
        asked = {n: v for n, v in world.vaults.items() if vendors[n] not in skip}
        vaults = {n: pool.submit(_vault, world, n, vendors[n], skip) for n in world.vaults}
        asking = world.without(frozenset(name for name, vendor in vendors.items() if vendor in skip))
        sites = {s.name: pool.submit(_site, asking, fleet, s.name, skip) for s in fleet.sites}
        zones = {n: pool.submit(_zone, world, fleet, n, skip) for n in world.zones}
        registration = pool.submit(_registration, world, skip)
        certificate = pool.submit(_certificate, asking, fleet)
        mirrors = {n: pool.submit(_mirror, world, fleet, n, skip) for n in world.mirrors}
        seen = _all(vaults)
        proven = pool.submit(proofs.newest, world, asked).result()
        failed = proofs.failed(world, proven)
        listed = listing(world, asking.vaults)
        survey = Survey(
            world.clock.now(),
            _all(accounts),
            {n: _with(reading, proven.get(n), failed.get(n)) for n, reading in seen.items()},
            _all(sites),
            _all(zones),
            past_of(world.log.read(), world.history()),
            listed.orders,
            registration.result(),
            certificate.result(),
            _all(mirrors),
            withdrawn=listed.withdrawn,
            orders_unread=frozenset(listed.silent),
            not_obeyed={order.reference: not_obeyed(order, no_posts(world, order)) for order in listed.orders},
        )
    newest = newest_first(survey.epochs)
    settled = settled_of(get_from(asked), newest, world.signer.verify)
    answering = {n: v for n, v in asked.items() if not isinstance(survey.vaults[n].ledger, Unknown)}
    older = read(lambda: _older(world, asked, newest))
    survey = replace(
        survey,
        ledgers=read(lambda: _ledgers(world, answering, newest)),
        older=() if isinstance(older, Unknown) else older,  # the seal itself says what it lacks
    )
    if settled is not None:
        survey = replace(survey, settled=settled.nonce)
    return _heard_of_writer(world, fleet, survey, skip)


def _all(futures: Mapping[str, Future[T]]) -> dict[str, T]:
    return {name: future.result() for name, future in futures.items()}


def _account(world: World, vendor: str, skip: frozenset[str]) -> Reading[bool]:
    if vendor in skip:
        return Unknown("declared lost: not asked")
    return read(world.accounts[vendor].is_open)


def _vault(world: World, name: str, vendor: str, skip: frozenset[str]) -> VaultReading:
    if vendor in skip:
        unasked = Unknown("declared lost: not asked")
        return VaultReading(unasked, unasked, unasked)
    vault = world.vaults[name]
    return VaultReading(
        epoch=read(lambda: newest_epoch(vault, world.signer.verify)),
        snapshot=read(lambda: max(vault.list("label/"), default=None)),
        ledger=read(lambda: len(vault.list("ledger/"))),
        open=_open(world, name),
    )


def _ledgers(world: World, vaults: Mapping[str, Vault], newest: Sequence[EpochRecord]) -> tuple[EpochRecord, ...]:
    """Epochs whose vaults may hold a takedown that counts; TooFewVaults where that can't be told."""
    listed = each(vaults, lambda vault: vault.list(layout.LEDGER))
    keys = [key for found in listed.values() if not isinstance(found, ResilienceError) for key in found]
    told = to_ask(vaults, keys, newest[0].number, world.signer.verify, newest) if newest else Ledgers(())
    if told.unknown:
        raise TooFewVaults(
            f"No vault that answers shows epoch {told.unknown}: takedowns that only its vaults hold would be missed.",
            "No epoch since is known to hold all that came before it.",
            "Bring a vault back and look again.",
        )
    return told.records


def _older(
    world: World, vaults: Mapping[str, Vault], newest: Sequence[EpochRecord]
) -> tuple[tuple[EpochRecord, int], ...]:
    """What a new epoch must fence besides the newest: its host may still be under one of these."""
    fenced = to_fence(vaults, newest[0].number, world.signer.verify) if newest else []
    return tuple((old.record, old.needed) for old in fenced if old.record.number < newest[0].number)


def _with(seen: VaultReading, proven: proofs.Proven | None, failed: proofs.Failed | None) -> VaultReading:
    """The same, with what was proven of this vault, and how it failed since."""
    if failed is not None:
        seen = replace(seen, failed_at=failed.at, failed=failed.what)
    if proven is None:
        return seen
    return replace(
        seen,
        verified=proven.at,
        compared=proven.compared,
        compared_at=proven.compared_at,
        not_compared=proven.not_compared,
    )


def _mirror(world: World, fleet: Fleet, name: str, skip: frozenset[str]) -> Reading[MirrorReading | None]:
    """Nobody waits for a mirror while a vendor is lost."""
    return Unknown("not asked now") if skip else read(lambda: look(world, fleet, name))


def _open(world: World, vault: str) -> Reading[Mapping[str, str]]:
    """What the last probe of this vault found, as this journal knows it."""
    seen = [e.data["open"] for e in world.log.read() if e.kind == "probed" and e.data["vault"] == vault]
    return dict(seen[-1]) if seen else Unknown("nobody tried it")


def _site(world: World, fleet: Fleet, name: str, skip: frozenset[str]) -> SiteReading:
    outputs = read(lambda: world.clouds[name].outputs(fleet.site(name)))
    if isinstance(outputs, Unknown):
        return SiteReading(outputs, outputs, outputs)
    if fleet.site(name).vendor in skip:
        unasked = Unknown("declared lost: not asked")
        return SiteReading(outputs, unasked, unasked)
    if outputs is None:
        nothing = Unknown("nothing runs there")
        return SiteReading(None, nothing, nothing)
    serving = read(lambda: world.app.serving(outputs))
    if serving is not True and fleet.site(name).disk_key and _locked(world, fleet.site(name), outputs):
        return SiteReading(outputs, False, Unknown("its disk is locked"), locked=True)
    if serving is not True and fleet.site(name).standby != "hot":
        return SiteReading(outputs, serving, Unknown("the site does not serve"))
    ship = read(lambda: world.plane.status(fleet.site(name), outputs))
    stage = read(lambda: world.gate.stage(outputs))
    return SiteReading(outputs, serving, ship, stage)


def _heard_of_writer(world: World, fleet: Fleet, survey: Survey, skip: frozenset[str]) -> Survey:
    """What ship says by its own file where the site that may write does not serve: posts that wait for vaults close the app, not ship.

    What ship said long ago tells nothing of now, as where it ended with the lease.
    """
    epoch = newest_shown(survey)
    seen = survey.sites.get(epoch.site) if epoch else None
    if epoch is None or seen is None or seen.serving is True or not isinstance(seen.ship, Unknown):
        return survey
    site, outputs = fleet.site(epoch.site), seen.outputs
    if seen.locked or not isinstance(outputs, SiteOutputs) or site.vendor in skip:
        return survey
    said = read(lambda: world.plane.shipped(site, outputs))
    if isinstance(said, Unknown) or not fresh(said):
        return survey
    return replace(survey, sites={**survey.sites, epoch.site: replace(seen, ship=said)})


def _locked(world: World, site: Site, outputs: SiteOutputs) -> bool:
    return read(lambda: world.plane.locked(site, outputs)) is True


def _registration(world: World, skip: frozenset[str]) -> Reading[Registration]:
    """Nobody waits for a registry while a vendor is lost."""
    if world.registration is None or skip:
        return Unknown("no RDAP address is declared" if world.registration is None else "not asked now")
    return read(world.registration)


def _certificate(world: World, fleet: Fleet) -> Reading[tuple[Certificate, tuple[str, ...]] | None]:
    if not fleet.names.authorities:
        return None
    return read(lambda: travelling(world.vaults, world.signer.verify, world.clock.now()))


def _zone(world: World, fleet: Fleet, vendor: str, skip: frozenset[str]) -> ZoneReading:
    if vendor in skip:
        return ZoneReading(Unknown("declared lost: not asked"))
    zone, host = world.zones[vendor], fleet.names.host
    servers = next(spec.nameservers for spec in fleet.names.zones if spec.vendor == vendor)
    nobody, nothing, records = (
        Unknown("none of it are declared"),
        Unknown("nothing is declared"),
        wanted(fleet.names, vendor),
    )
    return ZoneReading(
        read(lambda: zone.addresses(host)),
        read(lambda: zone.ttl_s(host)),
        read(lambda: zone.drift(host, records)) if records else nothing,
        read(lambda: zone.serials(host)) if servers else nobody,
    )


def unfilled(world: World, fleet: Fleet, skip: frozenset[str] = frozenset()) -> frozenset[str]:
    """Vaults of the set that answer, and that nobody gave yet what was there before they came into it."""
    asked = patiently({n: v for n, v in world.vaults.items() if fleet.vault(n).vendor not in skip})
    newest = newest_of(asked, world.signer.verify)
    return frozenset() if newest is None else filled.lacking(asked, newest, world.signer.verify, fleet.locked)


def survey_after_loss(
    world: World, fleet: Fleet, declared: frozenset[str], to: str | None = None
) -> tuple[Survey, frozenset[str]]:
    """A survey that calls neither the declared vendors nor the one of the current primary, unless that is where to go.

    Where the newest epoch names a site that was never opened and can be gone on to, the primary is the one that served before.
    Returns the survey and the vendors that count as lost.
    """
    world, lost = replace(world, vaults=patiently(world.vaults)), with_companions(fleet, declared)
    asked = {n: v for n, v in world.vaults.items() if fleet.vault(n).vendor not in lost}
    rivals = rivals_of(asked, world.signer.verify)
    epoch = next(iter(rivals), None)
    left = left_behind(asked, rivals, world.signer.verify) if to is None else None
    if epoch and left and left.site != epoch.site:
        skip = with_companions(fleet, declared | {site.vendor for site in fleet.sites if site.name == left.site})
        survey = replace(observe(world, fleet, skip), left_behind=left.site)
        if leads_on(fleet, survey, skip):
            return survey, skip
    home = {fleet.site(epoch.site).vendor} if epoch and epoch.site != to else set()
    skip = with_companions(fleet, declared | home)
    return observe(world, fleet, skip), skip
