"""The JSON interface: the subset of Mastodon's client API that plaza needs."""

from __future__ import annotations

from starlette.routing import Route

from resilience.plaza.api import accounts, admin, deciding, instance, media, oauth, reports, statuses

ROUTES: list[Route] = [
    *oauth.ROUTES,
    *accounts.ROUTES,
    *statuses.ROUTES,
    *media.ROUTES,
    *reports.ROUTES,
    *deciding.ROUTES,
    *admin.ROUTES,
    *instance.ROUTES,
]
