"""What this instance is and can do; and honest empty lists for what plaza doesn't have."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza.api.common import base_of, user
from resilience.plaza.db import one
from resilience.plaza.pictures import MAX_BYTES, MAX_PIXELS, MIMES
from resilience.plaza.posts import MAX_PICTURES, MAX_TEXT
from resilience.plaza.rules import RULES
from resilience.plaza.state import plaza_of

VERSION = "4.2.0 (compatible; Plaza 0.1.0)"
TITLE = "Plaza"
ABOUT = "A small social network that is ready to move."

NONE_OF_THESE = (
    "/api/v1/custom_emojis", "/api/v1/announcements", "/api/v1/instance/peers",
    "/api/v1/instance/activity", "/api/v1/instance/domain_blocks", "/api/v1/trends",
    "/api/v1/trends/tags", "/api/v1/trends/statuses", "/api/v1/trends/links",
    "/api/v1/directory", "/api/v1/timelines/tag/{tag}",
)  # fmt: skip
NONE_OF_MINE = {
    "/api/v1/lists": "read:lists",
    "/api/v1/accounts/{id}/lists": "read:lists",
    "/api/v1/filters": "read:filters",
    "/api/v2/filters": "read:filters",
    "/api/v1/follow_requests": "read:follows",
    "/api/v1/followed_tags": "read:follows",
    "/api/v1/domain_blocks": "read:blocks",
    "/api/v1/conversations": "read:statuses",
    "/api/v1/scheduled_statuses": "read:statuses",
    "/api/v1/suggestions": "read",
    "/api/v2/suggestions": "read",
    "/api/v1/featured_tags": "read:accounts",
    "/api/v1/endorsements": "read:accounts",
    "/api/v1/accounts/{id}/featured_tags": "read:accounts",
    "/api/v1/statuses/{id}/reblogged_by": "read:accounts",
}
"""And the scope that Mastodon asks for each."""


async def instance_v1(request: Request) -> Response:
    """GET /api/v1/instance."""
    settings = plaza_of(request).settings
    async with plaza_of(request).db.read() as conn:
        row = await one(conn, "SELECT reltuples::bigint AS n FROM pg_class WHERE relname = 'accounts'")
        posts = await one(conn, "SELECT reltuples::bigint AS n FROM pg_class WHERE relname = 'statuses'")
    stats = {"user_count": _count(row), "status_count": _count(posts), "domain_count": 1}
    return JSONResponse(
        {
            "uri": settings.domain,
            "title": TITLE,
            "short_description": ABOUT,
            "description": ABOUT,
            "email": "",
            "version": VERSION,
            "urls": {},
            "stats": stats,
            "thumbnail": settings.public_url + "/static/header.png",
            "languages": ["en"],
            "registrations": True,
            "approval_required": False,
            "invites_enabled": False,
            "configuration": _configuration(),
            "contact_account": None,
            "rules": RULES,
        }
    )


async def instance_v2(request: Request) -> Response:
    """GET /api/v2/instance."""
    base = base_of(request)
    return JSONResponse(
        {
            "domain": plaza_of(request).settings.domain,
            "title": TITLE,
            "version": VERSION,
            "source_url": "",
            "description": ABOUT,
            "usage": {"users": {"active_month": 0}},
            "thumbnail": {"url": base + "/static/header.png", "blurhash": None, "versions": {}},
            "icon": [],
            "languages": ["en"],
            "configuration": {
                **_configuration(),
                "urls": {"streaming": None, "status": None, "about": base + "/about"},
                "vapid": {"public_key": plaza_of(request).pusher.public},
                "translation": {"enabled": False},
                "limited_federation": True,
            },
            "registrations": {
                "enabled": True, "approval_required": False, "reason_required": False,
                "message": None, "min_age": None, "url": base + "/register",
            },
            "api_versions": {},
            "contact": {"email": "", "account": None},
            "rules": RULES,
        }
    )  # fmt: skip


async def rules(request: Request) -> Response:
    """GET /api/v1/instance/rules."""
    return JSONResponse(RULES)


async def description(request: Request) -> Response:
    """GET /api/v1/instance/extended_description."""
    return JSONResponse({"updated_at": "2026-01-01T00:00:00.000Z", "content": f"<p>{ABOUT}</p>"})


async def nothing(request: Request) -> Response:
    """An empty list: plaza has none of these."""
    return JSONResponse([])


async def nothing_of_mine(request: Request) -> Response:
    """An empty list for somebody who is logged in."""
    async with plaza_of(request).db.read() as conn:
        await user(request, conn, NONE_OF_MINE[request.scope["route"].path])
    return JSONResponse([])


async def preferences(request: Request) -> Response:
    """GET /api/v1/preferences."""
    async with plaza_of(request).db.read() as conn:
        await user(request, conn, "read:accounts")
    return JSONResponse(
        {
            "posting:default:visibility": "public",
            "posting:default:sensitive": False,
            "posting:default:language": None,
            "reading:expand:media": "default",
            "reading:expand:spoilers": False,
        }
    )


def _configuration() -> dict[str, Any]:
    return {
        "accounts": {"max_featured_tags": 0, "max_pinned_statuses": 0},
        "statuses": {
            "max_characters": MAX_TEXT,
            "max_media_attachments": MAX_PICTURES,
            "characters_reserved_per_url": 0,
        },
        "media_attachments": {
            "supported_mime_types": list(MIMES),
            "image_size_limit": MAX_BYTES,
            "image_matrix_limit": MAX_PIXELS,
            "video_size_limit": 0,
            "video_frame_rate_limit": 0,
            "video_matrix_limit": 0,
            "description_limit": 1500,
        },
        "polls": {
            "max_options": 0,
            "max_characters_per_option": 0,
            "min_expiration": 0,
            "max_expiration": 0,
        },
    }


def _count(row: dict[str, Any] | None) -> int:
    """A table's size as Postgres estimates it; never analyzed is none."""
    return max(0, int(row["n"])) if row else 0


ROUTES = [
    Route("/api/v1/instance", instance_v1),
    Route("/api/v2/instance", instance_v2),
    Route("/api/v1/instance/rules", rules),
    Route("/api/v1/instance/extended_description", description),
    Route("/api/v1/preferences", preferences),
    *(Route(path, nothing) for path in NONE_OF_THESE),
    *(Route(path, nothing_of_mine) for path in NONE_OF_MINE),
]
