"""Parameters of an API request: from the address, a form, a multipart body or JSON alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from resilience.plaza.errors import Refused
from resilience.plaza.ids import parse_id

TRUE = frozenset(("1", "t", "true", "on", "yes"))


class Params:
    """Named values; `name` and `name[]` are the same."""

    def __init__(self, items: Iterable[tuple[str, Any]]) -> None:
        self._values: dict[str, list[Any]] = {}
        for name, value in items:
            self._values.setdefault(name.removesuffix("[]"), []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """One value as text."""
        return self.optional(name) or default

    def optional(self, name: str) -> str | None:
        """One value as text, or None when it wasn't sent."""
        value = self._values.get(name, [None])[-1]
        if value is None or isinstance(value, UploadFile):
            return None
        return str(value).lower() if isinstance(value, bool) else str(value)

    def flag(self, name: str) -> bool:
        """Whether a value says yes."""
        return self.text(name).lower() in TRUE

    def all(self, name: str) -> list[str]:
        """All values of a name."""
        return [str(value) for value in self._values.get(name, []) if value is not None]

    def ids(self, name: str) -> list[int]:
        """All values of a name, as ids, each once."""
        return list(dict.fromkeys(parse_id(value) for value in self.all(name)))

    def identifier(self, name: str) -> int | None:
        """One value as an id, or None when it wasn't sent."""
        return parse_id(self.text(name)) if self.text(name) else None

    def nested(self, name: str, field: str) -> str | None:
        """One value of `name[field]`, or of the object `name` in JSON."""
        value = self._values.get(name, [None])[-1]
        if isinstance(value, dict):
            found = value.get(field)
            return None if found is None else str(found)
        return self.optional(f"{name}[{field}]")

    def pairs(self, name: str, first: str, second: str) -> list[tuple[str, str]] | None:
        """Two values each of `name[0][..]`, `name[1][..]`, or of a list of objects in JSON; None where none was sent."""
        numbered: dict[int, dict[str, Any]] = {}
        pattern = re.compile(re.escape(name) + r"\[(\d{1,3})\]\[(\w+)\]", re.ASCII)
        for key, values in self._values.items():
            if match := pattern.fullmatch(key):
                numbered.setdefault(int(match[1]), {})[match[2]] = values[-1]
        found = [value for value in self._values.get(name, []) if isinstance(value, dict)]
        found += [numbered[number] for number in sorted(numbered)]
        return [(_plain(one.get(first)), _plain(one.get(second))) for one in found] or None

    def file(self, name: str) -> UploadFile | None:
        """An uploaded file."""
        value = self._values.get(name, [None])[-1]
        return value if isinstance(value, UploadFile) else None


def _plain(value: Any) -> str:
    return "" if value is None or isinstance(value, UploadFile | dict | list) else str(value)


async def read_params(request: Request) -> Params:
    """Everything that came with a request."""
    items: list[tuple[str, Any]] = list(request.query_params.multi_items())
    if request.method in ("POST", "PUT", "PATCH", "DELETE"):
        items += await _body(request)
    return Params(items)


async def _body(request: Request) -> list[tuple[str, Any]]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        return _flat(await request.body())
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.form(max_files=8, max_fields=200)
        return list(form.multi_items())
    return []


def _flat(body: bytes) -> list[tuple[str, Any]]:
    try:
        value = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, "The body must be a JSON object")
    items: list[tuple[str, Any]] = []
    for name, content in value.items():
        items += _spread(name, content)
    return items


def _spread(name: str, content: Any) -> list[tuple[str, Any]]:
    """Nested objects as forms write them: `data[alerts][follow]`."""
    if isinstance(content, dict):
        return [item for key, value in content.items() for item in _spread(f"{name}[{key}]", value)]
    return [(name, item) for item in (content if isinstance(content, list) else [content])]
