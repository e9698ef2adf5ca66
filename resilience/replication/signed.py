"""Signed facts: what a signed object says, read by exact types and ranges before anybody believes it.

Whoever has a key may sign nonsense: a signature tells who said it, never that it makes sense.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter

from resilience.replication import lsn

T = TypeVar("T")


def _position(text: object) -> int:
    if not isinstance(text, str):
        raise ValueError("A position is text.")  # noqa: TRY004 - the reader takes it for a refusal
    return lsn.parse(text)


Position = Annotated[int, BeforeValidator(_position)]
"""Written as Postgres does."""
PositionText = Annotated[str, Field(pattern=r"^[0-9A-F]{1,8}/[0-9A-F]{1,8}$")]
Number = Annotated[int, Field(ge=0, lt=1 << 31)]
Timeline = Annotated[int, Field(gt=0, lt=1 << 32)]
SystemId = Annotated[str, Field(pattern="^[0-9]{1,20}$")]
Time = Annotated[float, Field(ge=0, lt=253_402_300_800)]
"""Seconds since the Unix epoch, up to the year 9999."""


def read(value: Mapping[str, Any], kind: type[T]) -> T | None:
    """The fact of this dataclass that plain JSON values say; None where one is absent, of another type or out of range."""
    try:
        reader = _reader(kind)  # type: ignore[arg-type] # mypy takes a class for what has no hash
        found: T = reader.validate_json(json.dumps(value), strict=True)
    except (ValueError, RecursionError):
        return None
    return found


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
