"""Pages for people: server-rendered, usable without JavaScript."""

from __future__ import annotations

from starlette.routing import Route

from resilience.plaza.web import app_shell, authorize, joining, messages, moderating, people, reading, writing

ROUTES: list[Route] = [
    *app_shell.ROUTES,
    *joining.ROUTES,
    *messages.ROUTES,
    *people.ROUTES,
    *writing.ROUTES,
    *moderating.ROUTES,
    *authorize.ROUTES,
    *reading.ROUTES,
]
