"""A finding as an error that names the file, the line, the key, why, and what to write."""

from __future__ import annotations

import difflib
from typing import Any, get_origin

from pydantic import ValidationError

from resilience.config.lines import Loc, line_of
from resilience.config.schema import FleetFile, Table
from resilience.errors import FleetError


def shape_error(text: str, file: str, error: ValidationError) -> FleetError:
    """The error for a text that does not have the shape of a fleet file."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # explains missing
    loc: Loc = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        fields = _fields_at(loc[:-1])
        close = difflib.get_close_matches(str(loc[-1]), fields, n=1)
        hint = f'Did you mean "{close[0]}"?' if close else f"Known here: {', '.join(fields)}."
        return error_at(text, file, loc, "there is no such key", hint)
    if first["type"] == "missing":
        return _missing(text, file, loc)
    given = f", given was {first['input']!r}" if not isinstance(first["input"], dict) else ""
    why = f"{first['msg'][0].lower()}{first['msg'][1:]}{given}"
    return error_at(text, file, loc, why, "Write a value of that kind.")


def _missing(text: str, file: str, loc: Loc) -> FleetError:
    """What to add: a key there, or a table, of which there may be several."""
    annotation: Any = _table_at(loc[:-1]).model_fields[str(loc[-1])].annotation
    several = get_origin(annotation) is list
    kind = annotation.__args__[0] if several else annotation
    if not (isinstance(kind, type) and issubclass(kind, Table)):
        return error_at(text, file, loc, "this key is missing", f'Add "{loc[-1]} = …" there.')
    name = ".".join(part for part in loc if isinstance(part, str))
    table = f"[[{name}]]" if several else f"[{name}]"
    return error_at(text, file, loc, "this table is missing", f"Add a table {table}: those in examples/ show its keys.")


def _fields_at(loc: Loc) -> list[str]:
    return list(_table_at(loc).model_fields)


def _table_at(loc: Loc) -> type[Table]:
    """The table that this leads to."""
    model: Any = FleetFile
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = annotation.__args__[0] if hasattr(annotation, "__args__") else annotation
    found: type[Table] = model
    return found


def error_at(text: str, file: str, loc: Loc, why: str, hint: str) -> FleetError:
    """The error for what stands at `loc`."""
    line = line_of(text, loc)
    key = ".".join(f"[{part}]" if isinstance(part, int) else str(part) for part in loc)
    where = f"{file}:{line}" if line else file
    return FleetError(f"{where}: {key.replace('.[', '[')}", why, hint)
