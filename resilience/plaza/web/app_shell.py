"""What makes plaza an app on one's phone without a store: manifest, service worker, offline page, endpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from resilience.plaza.errors import Refused
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import visitor

STATIC = Path(__file__).parent.parent / "static"
WORKER_POLICY = "default-src 'none'; connect-src *"
"""The worker asks mirrors on other hosts; it believes only what is signed."""
ANYBODY = {"Access-Control-Allow-Origin": "*", "Cache-Control": "public, max-age=60"}


async def manifest(request: Request) -> Response:
    """GET /manifest.webmanifest: how the app is called and looks on a phone."""
    icons = [
        {"src": f"/static/icon-{size}.png", "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for size in (192, 512)
        for purpose in ("any", "maskable")
    ]
    about = {
        "id": "/",
        "name": "Plaza",
        "short_name": "Plaza",
        "description": "A small place to talk.",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#f6f4f0",
        "theme_color": "#0d6e63",
        "icons": icons,
    }
    headers = {"Cache-Control": "public, max-age=3600"}
    return JSONResponse(about, media_type="application/manifest+json", headers=headers)


async def worker(request: Request) -> Response:
    """GET /sw.js: the service worker, at the root because it serves all of the app."""
    headers = {"Content-Security-Policy": WORKER_POLICY, "Cache-Control": "no-cache"}
    return FileResponse(STATIC / "sw.js", media_type="text/javascript", headers=headers)


async def offline(request: Request) -> Response:
    """GET /offline: what the worker shows while the site can't be reached."""
    return page(request, "offline.html", {}, headers={"Cache-Control": "no-cache"})


async def listing(request: Request) -> Response:
    """GET /endpoints.json: the signed list, for clients and for whoever mirrors it."""
    found = plaza_of(request).endpoints.current()
    if found is None:
        raise Refused(404, "Record not found")
    return Response(found[0], media_type="application/json", headers=ANYBODY)


async def public_key(request: Request) -> Response:
    """GET /endpoints.pub: the key that signs it, which clients keep from the first time on."""
    public = plaza_of(request).endpoints.public
    if not public:
        raise Refused(404, "Record not found")
    return PlainTextResponse(public + "\n", headers=ANYBODY)


async def addresses(request: Request) -> Response:
    """GET /endpoints: the same for people, to be kept on paper."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who = await visitor(request, conn)
    found = plaza.endpoints.current()
    listed = found[1] if found else None
    late = listed is not None and not listed.is_current(datetime.now(UTC))
    values = {"listed": listed, "late": late, "public": plaza.endpoints.public}
    return page(request, "endpoints.html", values, who=who)


ROUTES = [
    Route("/manifest.webmanifest", manifest),
    Route("/sw.js", worker),
    Route("/offline", offline),
    Route("/endpoints", addresses),
    Route("/endpoints.json", listing),
    Route("/endpoints.pub", public_key),
]
