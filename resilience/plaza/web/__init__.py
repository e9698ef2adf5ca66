"""Pages for people: server-rendered, usable without JavaScript."""

from __future__ import annotations

from starlette.routing import Route

from resilience.plaza.web import (
    app_shell,
    authorize,
    editing,
    feeds,
    joining,
    messages,
    moderating,
    people,
    reading,
    security,
    social,
    writing,
)

ROUTES: list[Route] = [
    *app_shell.ROUTES,
    *joining.ROUTES,
    *messages.ROUTES,
    *security.ROUTES,
    *people.ROUTES,
    *social.ROUTES,
    *editing.ROUTES,
    *writing.ROUTES,
    *moderating.ROUTES,
    *authorize.ROUTES,
    *feeds.ROUTES,
    *reading.ROUTES,
]
