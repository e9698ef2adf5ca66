"""A drill: the failover plan with a fault in front. Never a second code path.

`up`, then users, then the fault; then exactly what an operator would run: observe, plan,
approve, execute. Afterwards every acknowledged write is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import stamina

from resilience.decide import plan_failover, plan_protect, plan_up, with_companions
from resilience.engine.execute import Approval, approve, execute
from resilience.engine.observe import observe
from resilience.engine.stages import Stages, Watch, declared_facts
from resilience.errors import ResilienceError, UsageError
from resilience.model import Event, Fleet, Plan, Site, SiteOutputs
from resilience.model.fleet import Standby
from resilience.ports import Ground, Workload, World

FAULTS = ("terminate", "delete", "control-plane", "correlated", "hijack", "bit-rot")
WARM_WRITES, WARM_SECONDS = 100, 10.0
TAKEDOWNS = 5
SETTLE_S = 120.0
PICTURES_S = 900.0
"""A standby of a medium drill brings some 15,000 files."""
GIVEN = frozenset({"protect", "state"})
"""Steps that only give vaults copies of what they had then; supplies are given again, since today's code is another."""
AIR_S, QUIET_S = 20.0, 4.0
SEGMENT = 16 << 20
Calls = list[dict[str, Any]]
"""Each {from, vendor, address, port, attempts}."""


@dataclass(frozen=True)
class Drill:
    """What to rehearse; everything that chance decides comes from `seed`."""

    size: str = "small"
    fault: str = "terminate"
    standby: str = "cold"
    durability: str = "async"
    to: str | None = None
    seed: int = 0
    lost: tuple[str, ...] = ()
    """Vendors that the fault hits; without any, the primary's (and its companions, where they leave together)."""
    simulated: bool = False
    newcomers: int = 2
    """People who sign up in a second, the whole time."""
    tls: bool = False
    """The name is served by HTTPS, and with the vendor every certificate authority falls silent."""
    round: str = ""
    """The round of `drill --all` that it is one of; empty where somebody ran it alone."""
    code: str = ""
    """Which code drilled: a version, and a commit where there is one."""


def prepare(world: World, fleet: Fleet, users: Workload, drill: Drill, watch: Watch) -> dict[str, int]:
    """Bring the primary up and fill the app; what it was filled with, once the vaults hold it."""
    stage = Stages(world, watch)
    with stage("up", site=fleet.primary.name):
        _up(world, fleet, watch)
    with stage("seed"):
        seeded = {**_seed(world, fleet, users, drill), "takedowns": _take_down(world, fleet, users)}
    with stage("snapshot"):
        _settle(world, fleet, "pictures and ledger entries", _objects_waiting)
        _snapshot(world, fleet)
    return seeded


def run_drill(
    world: World,
    fleet: Fleet,
    ground: Ground,
    users: Workload,
    drill: Drill,
    watch: Watch,
    prepared: Mapping[str, int] | None = None,
) -> None:
    """Carry the drill out; everything that happens goes into the world's journal. `prepared`: the app is filled."""
    stage = Stages(world, watch)
    _refuse_target(fleet, drill)
    stage.note("drill-started", **_header(fleet, drill))
    if prepared is None:
        prepared = prepare(world, fleet, users, drill, watch)
    else:
        with stage("up", site=fleet.primary.name):
            _wake(world, fleet, watch)
    stage.note("data", **_data(world, fleet), **prepared)
    for site in fleet.sites[1:]:
        if site.standby == "hot":
            with stage("standby", site=site.name):
                carry_out(world, fleet, plan_up(fleet, observe(world, fleet), site.name), watch)
                _await_pictures(world, site)
    taken_down = _take_down_late(users, stage)
    with stage("users"):
        users.begin(drill.seed, drill.newcomers)
        _walk(world, stage)
        _warm(users)  # the last before the fault: a loss is counted from writes of the ten seconds before it
    try:
        taken_down = [*taken_down, *_take_down_late(users, stage)]
        _lose_and_return(world, fleet, ground, users, drill, stage, watch)
    finally:
        acknowledged, requests = users.end()
        stage.note("acknowledged", writes=acknowledged)
        stage.note("requests", requests=requests)
    with stage("look-for-writes"):
        missing, unchecked = world.outside.missing([str(w["id"]) for w in acknowledged])
    checked = len(acknowledged) - len(unchecked)
    stage.note("writes-checked", checked=checked, missing=missing, unchecked=unchecked)
    gone, unsure = world.outside.missing(taken_down)
    shown = [post for post in taken_down if post not in {*gone, *unsure}]
    stage.note("takedowns-seen", asked=taken_down, shown=shown, unchecked=unsure)


def _up(world: World, fleet: Fleet, watch: Watch) -> None:
    carry_out(world, fleet, plan_up(fleet, observe(world, fleet), fleet.primary.name), watch)


def _wake(world: World, fleet: Fleet, watch: Watch) -> None:
    """Bring up a lab that was filled before, with today's code: of all else what its vaults were given then is still there."""
    plan = plan_up(fleet, observe(world, fleet), fleet.primary.name)
    again = tuple(step for step in plan.steps if step.action not in GIVEN)
    carry_out(world, fleet, replace(plan, steps=again), watch)


def _lose_and_return(
    world: World, fleet: Fleet, ground: Ground, users: Workload, drill: Drill, stage: Stages, watch: Watch
) -> None:
    lost = _lost(fleet, drill)
    old_address = _outputs(world, fleet).addresses[0]
    ground.blackhole(lost)
    done = ground.inject(drill.fault, lost, drill.seed)
    stays = fleet.primary.vendor not in with_companions(fleet, frozenset(lost))
    about = {"fault": drill.fault, "vendors": list(lost), "stays": stays, "damage": done.get("vaults")}
    about |= {"authorities": done["authorities"]} if "authorities" in done else {}
    stage.note("fault", at=done["at"], **about)
    users.try_old_site(old_address)
    declared = frozenset(lost)
    survey = observe(world, fleet, declared)
    knocks: list[Calls] = []
    hot = not stays and any(site.standby == "hot" for site in fleet.sites)

    def watch_told(event: Event) -> None:
        """What runs by itself knocks until it is told of the loss.

        Where the app stays, ship and standby are told by the vault set being another one; a standby that takes over by the first step on it.
        """
        watch(event)
        if event.kind == "step-done" and event.data["action"] == "turn":
            knocks.append(_in_the_air(world, ground))
        elif hot and not knocks and event.kind == "step-done" and event.data["action"] == "shape":
            knocks.append([call for call in ground.blackhole_calls() if _home(call) == event.data["subject"]])

    try:
        if stays:
            plan = plan_protect(fleet, survey, declared=declared, force=True)
        else:
            plan = plan_failover(fleet, survey, to=drill.to, declared=declared)
        if servers := _awaited(plan):
            ground.delegate(servers)
            stage.note("delegated", servers=servers)
        carry_out(world, fleet, plan, watch_told)
    finally:
        calls = _later(ground.blackhole_calls(), knocks[0] if knocks else [])
        if knocks and knocks[0]:
            stage.note("ship-knocks", calls=knocks[0])
        counted = {"calls": calls, "used": ground.blackhole_used(), "complete": ground.blackhole_complete()}
        stage.note("blackhole", vendors=list(lost), **counted)
        _judge_fence(world, users, stage)


def _awaited(plan: Plan) -> list[str]:
    """The name servers that whoever approves this plan has to enter at the registrar meanwhile; empty where none."""
    waits = any(hazard.name == "name-waits" for hazard in plan.hazards)
    asked = [step.args["keep"] for step in plan.steps if step.action == "delegate" and waits]
    return [str(server) for servers in asked for server in servers]


def _home(call: Mapping[str, Any]) -> str:
    """The site whose host called."""
    return str(call["from"]).split("-")[0]


def _in_the_air(world: World, ground: Ground) -> Calls:
    """What sites' hosts sent up to the turn, and what was under way then: a request that nobody answers tries again.

    One that goes on knocking is not waited for longer than that.
    """
    seen: Calls = []
    since = world.clock.now()
    until = since + AIR_S
    while (now := world.clock.now()) < min(until, since + QUIET_S):
        calls = [call for call in ground.blackhole_calls() if call["from"] != "operator"]
        if calls != seen:
            seen, since = calls, now
        world.clock.sleep(0.5)
    return seen


def _later(calls: Calls, earlier: Calls) -> Calls:
    """What was counted since; each place by its own count."""
    before = {(c["from"], c["address"], c["port"]): int(c["attempts"]) for c in earlier}
    since = [{**c, "attempts": c["attempts"] - before.get((c["from"], c["address"], c["port"]), 0)} for c in calls]
    return [call for call in since if call["attempts"]]


def _judge_fence(world: World, users: Workload, stage: Stages) -> None:
    """Writes that the old site acknowledged after the fault and that the new one lacks."""
    attempts, acknowledged = users.end_old_site()
    absent, unchecked = world.outside.missing(acknowledged) if acknowledged else ([], [])
    if not unchecked:
        stage.note("fence", attempts=attempts, accepted=len(absent))


def _seed(world: World, fleet: Fleet, users: Workload, drill: Drill) -> dict[str, int]:
    """What is too much for the front door goes in by the app's own means, all else as users post it."""
    filled = world.app.fill(_outputs(world, fleet), drill.size, drill.seed)
    _settle(world, fleet, "segments of WAL", _segments_waiting)
    posted = users.seed(drill.size, drill.seed)
    return {what: int(filled.get(what, 0)) + int(posted[what]) for what in ("users", "posts", "pictures")}


def _take_down(world: World, fleet: Fleet, users: Workload) -> int:
    """A moderator takes posts down, so that a restore has something to bring back wrongly."""
    world.app.appoint(_outputs(world, fleet), users.moderator())
    return len(users.take_down(TAKEDOWNS))


def _take_down_late(users: Workload, stage: Stages) -> list[str]:
    """One more, that every snapshot still shows: only WAL and the ledger can tell the new site, at the end perhaps the ledger alone."""
    posts = users.take_down(1)
    stage.note("taken-down", posts=posts)
    return posts


def _walk(world: World, stage: Stages) -> None:
    """A journey by name before the fault: it shows where the users were. In a surge one may be asked to try again."""
    for attempt in stamina.retry_context(
        on=ResilienceError, attempts=None, timeout=60.0, wait_initial=0.5, wait_max=2.0
    ):
        with attempt:
            walked = world.outside.journey()
    stage.note("journey", ok=True, by="name", address=walked.address, steps=list(walked.steps))


def _outputs(world: World, fleet: Fleet) -> SiteOutputs:
    outputs = world.clouds[fleet.primary.name].outputs(fleet.primary)
    if outputs is None:
        raise ResilienceError("The primary has no hosts.", "Its stack exported nothing.", "Run `resilience up` first.")
    return outputs


def carry_out(world: World, fleet: Fleet, plan: Plan, watch: Watch) -> None:
    """Approve a plan by the drill itself, every hazard named, and execute it."""
    accepted = frozenset(hazard.name for hazard in plan.hazards)
    approve(world, plan, Approval(plan.digest, accepted, by="drill"))
    execute(world, fleet, plan, watch)


def standing_by(fleet: Fleet, drill: Drill) -> Fleet:
    """The fleet with the drill's target as the standby that the drill asks for."""
    lost = _lost(fleet, drill)
    left = [site.name for site in fleet.sites[1:] if site.vendor not in lost]
    target = drill.to or next(iter(left), None)
    standby: Standby = "hot" if drill.standby == "hot" else "cold"
    sites = tuple(replace(site, standby=standby) if site.name == target else site for site in fleet.sites)
    return replace(fleet, sites=sites)


def _refuse_target(fleet: Fleet, drill: Drill) -> None:
    """Before anything is made: a target that the fault takes along would only be found out at its end."""
    lost = _lost(fleet, drill)
    usable = [site.name for site in fleet.sites if site.vendor not in lost]
    if drill.to is not None and drill.to not in usable:
        raise UsageError(
            f"A drill of {drill.fault} can't fail over to {drill.to}.",
            f"It is no site of this fleet, or it is lost together with {', '.join(lost)}.",
            f"Sites that are left: {', '.join(usable) or 'none'}.",
        )


def _lost(fleet: Fleet, drill: Drill) -> tuple[str, ...]:
    if drill.fault not in FAULTS:
        raise UsageError(
            f"This build has no fault called {drill.fault}.",
            "Faults are things that the lab can really do.",
            f"Known: {', '.join(FAULTS)}.",
        )
    if drill.lost:
        _refuse_strangers(fleet, drill.lost)
        return drill.lost
    home = fleet.vendor(fleet.primary.vendor)
    if drill.fault != "correlated":
        return (home.name,)
    return (home.name, *(home.companions or _second_dns(fleet, home.name)))


def _refuse_strangers(fleet: Fleet, lost: tuple[str, ...]) -> None:
    known = [vendor.name for vendor in fleet.vendors]
    if strangers := [name for name in lost if name not in known]:
        raise UsageError(
            f"No vendor is called {strangers[0]}.", "A fault hits vendors by name.", f"Declared: {', '.join(known)}."
        )


def _second_dns(fleet: Fleet, home: str) -> tuple[str, ...]:
    """Without declared companions, an object store's vendor goes on the same day."""
    needed = {fleet.sites[1].vendor, *(z.vendor for z in fleet.names.zones)}
    spare = [v.vendor for v in fleet.vaults if v.vendor not in needed | {home}]
    return tuple(spare[:1])


def _header(fleet: Fleet, drill: Drill) -> dict[str, Any]:
    return {
        **asdict(drill),
        "source": fleet.primary.name,
        "target": drill.to or "",
        **declared_facts(fleet),
    }


def _settle(world: World, fleet: Fleet, what: str, waiting: Callable[[World, Fleet], int]) -> None:
    """Wait until the vaults hold what they are owed, as long as that becomes less: a seed is no news of today."""
    least, until = waiting(world, fleet), world.clock.now() + SETTLE_S
    while least:
        world.clock.sleep(0.5)
        left = waiting(world, fleet)
        if left < least:
            least, until = left, world.clock.now() + SETTLE_S
        elif world.clock.now() > until:
            raise ResilienceError(
                f"{left} of the seed's {what} are still in no vault.",
                f"None was put for {SETTLE_S:.0f} s.",
                "See `resilience status`: which vault does not take them?",
            )


def _await_pictures(world: World, site: Site) -> None:
    """A standby has been one for longer than a drill's: it has the pictures of its day."""
    outputs, until = world.clouds[site.name].outputs(site), world.clock.now() + PICTURES_S
    while outputs is not None and (status := world.plane.status(site, outputs)).get("pictures_lacking") != 0:
        if world.clock.now() > until:
            raise ResilienceError(
                f"{site.name} has not all pictures after {PICTURES_S:.0f} s.",
                f"It says that it lacks {status.get('pictures_lacking')} (None: it has not looked at all rows).",
                "Look at what follow says there: which vault does not give them?",
            )
        world.clock.sleep(0.5)


def _objects_waiting(world: World, fleet: Fleet) -> int:
    """Pictures and ledger entries that some vault still lacks."""
    vaults = world.plane.status(fleet.primary, _outputs(world, fleet)).get("vaults", {})
    return max((int(vault["backlog_objects"]) for vault in vaults.values()), default=0)


def _segments_waiting(world: World, fleet: Fleet) -> int:
    """Whole segments of WAL that too few vaults hold: commits that wait for vaults would wait behind them."""
    return int(world.plane.status(fleet.primary, _outputs(world, fleet)).get("lag_bytes", 0)) // SEGMENT


def _snapshot(world: World, fleet: Fleet) -> None:
    """A snapshot of the seeded app in each vault, so that little WAL is left to replay."""
    world.plane.snapshot(fleet.primary, _outputs(world, fleet))


def _data(world: World, fleet: Fleet) -> dict[str, Any]:
    status = world.plane.status(fleet.primary, _outputs(world, fleet))
    return {k: status.get(k) for k in ("db_bytes", "media_bytes")}


def _warm(users: Workload) -> None:
    """Users are under way once they had enough writes acknowledged in ten seconds."""
    for attempt in stamina.retry_context(
        on=ResilienceError, attempts=None, timeout=300.0, wait_initial=0.5, wait_max=0.5
    ):
        with attempt:
            seen = users.recent(WARM_SECONDS)
            if seen < WARM_WRITES:
                raise ResilienceError(
                    f"Only {seen} writes were acknowledged in {WARM_SECONDS:.0f} s.",
                    f"A loss can't be counted from fewer than {WARM_WRITES}.",
                    "See whether this machine is busy with something else, then run it again.",
                )
