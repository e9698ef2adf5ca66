"""Rendering: templates to answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from resilience.plaza.text import to_html

TEMPLATES = Path(__file__).parent.parent / "templates"

templates = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
templates.filters["prose"] = lambda text: Markup(to_html(text))  # noqa: S704 (to_html escapes)


def page(
    request: Request, template: str, values: Mapping[str, Any], status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """A page from a template."""
    text = templates.get_template(template).render(request=request, **values)
    return HTMLResponse(text, status, headers)
