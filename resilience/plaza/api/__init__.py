"""The JSON interface: the subset of Mastodon's client API that plaza needs."""

from __future__ import annotations

from starlette.routing import Route

from resilience.plaza.api import (
    accounts,
    admin,
    deciding,
    edits,
    instance,
    likes,
    media,
    notifications,
    oauth,
    push,
    reports,
    search,
    statuses,
    ties,
)

ROUTES: list[Route] = [
    *oauth.ROUTES,
    *search.ROUTES,
    *accounts.ROUTES,
    *ties.ROUTES,
    *edits.ROUTES,
    *likes.ROUTES,
    *notifications.ROUTES,
    *push.ROUTES,
    *statuses.ROUTES,
    *media.ROUTES,
    *reports.ROUTES,
    *deciding.ROUTES,
    *admin.ROUTES,
    *instance.ROUTES,
]
