"""Pages for people: server-rendered, usable without JavaScript."""

from __future__ import annotations

from starlette.routing import Route

from resilience.plaza.web import authorize, joining, moderating, people, reading, writing

ROUTES: list[Route] = [
    *joining.ROUTES,
    *people.ROUTES,
    *writing.ROUTES,
    *moderating.ROUTES,
    *authorize.ROUTES,
    *reading.ROUTES,
]
