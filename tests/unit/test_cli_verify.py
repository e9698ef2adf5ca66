"""What `resilience verify` says of a vault."""

from __future__ import annotations

from typing import Any

from resilience.cli.verify import told

WHOLE: dict[str, Any] = {"ok": True, "rows": 7, "pictures": None, "restore_s": 1.5, "acknowledged": "0/20"}


def test_a_person_is_told_what_was_compared() -> None:
    """All tables, all but some with why, or none with why; what differs is no whole vault."""
    same = {**WHOLE, "compared": True, "compared_tables": 12, "left_out": {}}
    assert told(same).endswith("; its rows are the primary's, in all 12 tables.")
    some = {**same, "left_out": {"plaza.public.new": "somebody had it locked"}}
    assert told(some).endswith("the primary's, in 12 tables; not counted: plaza.public.new (somebody had it locked).")
    none = {**WHOLE, "compared": None, "not_compared": "the primary was left out"}
    assert told(none).endswith("; its rows were not compared with the primary's: the primary was left out.")
    other = {**WHOLE, "ok": False, "compared": False, "what": "Its rows are not.", "why": "Look.", "next": "See."}
    assert told(other).startswith("NOT whole. Its rows are not.")
