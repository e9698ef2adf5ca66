"""The same values for machines: plain JSON, in which what is not known says why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from resilience.errors import ResilienceError
from resilience.judge import verdict_json
from resilience.model import Plan, Survey, Unknown, Verdict


def to_json(value: Any) -> Any:
    """Any of the model's values as plain JSON values; an `Unknown` is `{"unknown": why}`."""
    match value:
        case Mapping():
            return {str(key): to_json(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_json(inner) for inner in value]
    named = _named(value)
    if named is not None:
        return named
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    return value


def _named(value: Any) -> Any:
    """Values that have a form of their own; None for all others."""
    match value:
        case Unknown(why):
            return {"unknown": why}
        case Plan():
            return to_json(value.to_json())
        case Verdict():
            return verdict_json(value)
        case ResilienceError():
            return {"what": value.what, "why": value.why, "next": value.next, "exit": int(value.exit_code)}
        case Enum():
            return value.value
    return None


def survey_json(survey: Survey) -> dict[str, Any]:
    """What was seen; each reading is a value, or `{"unknown": why}`."""
    return dict(to_json(survey))


def json_text(value: Any) -> str:
    """One JSON document, as `--json` prints it."""
    return json.dumps(to_json(value), indent=2, ensure_ascii=False, default=str)
