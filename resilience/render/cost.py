"""A fleet's cost, for people and for machines."""

from __future__ import annotations

from typing import Any

from resilience.model.cost import Cost, CostLine, left_out, totals

NEVER_IN = "users' traffic, disks sold apart, addresses, domains, mail and tax"


def cost_json(cost: Cost) -> dict[str, Any]:
    """Both parts: lines, totals a currency, and what they leave out."""
    return {name: _part(lines) for name, lines in (("month", cost.month), ("evacuation", cost.evacuation))}


def _part(lines: tuple[CostLine, ...]) -> dict[str, Any]:
    rows = [
        {"what": x.what, "amount": x.amount, "currency": x.currency, "source": x.source, "day": str(x.day or "")}
        for x in lines
    ]
    return {"lines": rows, "totals": dict(totals(lines)), "left_out": list(left_out(lines))}


def cost_text(cost: Cost) -> str:
    """Both parts, a line each, with sources."""
    said = []
    for head, lines in (("A month, idle", cost.month), ("An evacuation, once", cost.evacuation)):
        said += [f"{head}:", *(f"  {_said(line)}" for line in lines)]
        summed = " + ".join(f"{amount:.2f} {currency}" for currency, amount in totals(lines).items())
        said.append(f"  together {summed or 'nothing that has a price'}")
        if missing := left_out(lines):
            said.append(f"  without a price, so not in it: {'; '.join(missing)}")
        said.append("")
    return "\n".join([*said, f"Never in it: {NEVER_IN}."])


def _said(line: CostLine) -> str:
    if line.amount is None:
        return f"{line.what}: no price known"
    return f"{line.what}: {line.amount:.2f} {line.currency}  ({line.source}, {line.day})"
