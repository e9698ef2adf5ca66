"""Pages for people: server-rendered, usable without JavaScript."""

from __future__ import annotations

from starlette.routing import Route

from resilience.plaza.web import app_shell, authorize, joining, moderating, people, reading, writing

ROUTES: list[Route] = [
    *app_shell.ROUTES,
    *joining.ROUTES,
    *people.ROUTES,
    *writing.ROUTES,
    *moderating.ROUTES,
    *authorize.ROUTES,
    *reading.ROUTES,
]
