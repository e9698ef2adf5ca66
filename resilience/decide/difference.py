"""What changed between the plan that somebody read and the one that the world asks for now. Pure."""

from __future__ import annotations

from resilience.model import Plan


def differences(read: Plan, now: Plan) -> tuple[str, ...]:
    """One sentence a change; empty where both are the same plan."""
    said = [
        f"{word} is {new} now; in the plan that was read it was {old}."
        for word, old, new in (
            ("The site that is left", read.source, now.source),
            ("The target", read.target, now.target),
            ("The set of lost vendors", _names(read.lost), _names(now.lost)),
        )
        if old != new
    ]
    old_steps, new_steps = ({step.id: step for step in plan.steps} for plan in (read, now))
    said += [f"New step: {new_steps[i].action} {new_steps[i].subject}." for i in new_steps if i not in old_steps]
    said += [f"No longer done: {old_steps[i].action} {old_steps[i].subject}." for i in old_steps if i not in new_steps]
    for i in [i for i in new_steps if i in old_steps]:
        said += _arguments(i, dict(old_steps[i].args), dict(new_steps[i].args))
    said += [f"New hazard: {h.name}. {h.why}" for h in now.hazards if h.name not in {o.name for o in read.hazards}]
    said += [f"No longer a hazard: {h.name}." for h in read.hazards if h.name not in {n.name for n in now.hazards}]
    if not said and read.digest != now.digest:
        said.append("Only its wording changed.")
    return tuple(said)


def _arguments(step: str, old: dict[str, object], new: dict[str, object]) -> list[str]:
    changed = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    return [f"{step}: {key} is {new.get(key)} now, it was {old.get(key)}." for key in changed]


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "empty"
