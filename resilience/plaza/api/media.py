"""Pictures: upload, look up, describe; and their files."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import entities, media
from resilience.plaza.answers import AGAIN_S, wants_json
from resilience.plaza.api.common import base_of, user
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import parse_id
from resilience.plaza.params import read_params
from resilience.plaza.pictures import EXTENSIONS
from resilience.plaza.state import plaza_of

NOT_HERE = "This picture is not here: it is on its way to this site, or was lost. Try again later."
STANDS_IN = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="100%"><rect width="100%" height="100%" fill="#8883"/>'
    '<svg width="100%" height="100%" viewBox="-100 -100 200 200" fill="none" stroke="#8888" stroke-width="6" '
    'stroke-linecap="round" stroke-linejoin="round"><circle r="30"/><path d="M0-16V0L10 8"/></svg></svg>'
)
"""A clock, in whatever shape the picture has."""


async def upload(request: Request) -> Response:
    """POST /api/v2/media (and v1): a picture, ready at once."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        me = await user(request, conn, "write:media")
    params = await read_params(request)
    file = params.file("file")
    if file is None:
        raise Refused(422, "Validation failed: File can't be blank")
    picture = await plaza.darkroom.develop(file)
    async with plaza.db.write() as conn:
        made = await media.add(conn, plaza.store, me.account.id, picture, params.text("description").strip())
    return JSONResponse(entities.attachment(made, base_of(request)))


async def show(request: Request) -> Response:
    """GET /api/v1/media/:id: one of my pictures."""
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, "write:media")
        found = await media.own(conn, me.account.id, parse_id(request.path_params["id"]))
    return JSONResponse(entities.attachment(found, base_of(request)))


async def describe(request: Request) -> Response:
    """PUT /api/v1/media/:id: change the description."""
    params = await read_params(request)
    media_id = parse_id(request.path_params["id"])
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, "write:media")
        found = await media.own(conn, me.account.id, media_id)
        text = params.optional("description")
        if text is not None:
            found = await media.describe(conn, me.account.id, media_id, text.strip())
    return JSONResponse(entities.attachment(found, base_of(request)))


async def serve(request: Request) -> Response:
    """GET /media/<sha256>.<ext>: the file, as long as some row names it; 503 while that is not here."""
    plaza = plaza_of(request)
    sha256, extension = request.path_params["sha256"], request.path_params["extension"]
    async with plaza.db.read() as conn:
        mime = await media.mime_of(conn, sha256)
    path = plaza.store.path(sha256)
    if mime is None or EXTENSIONS[mime] != extension:
        raise not_found()
    if not path.is_file():
        plaza.store.want(sha256)
        return _not_here(request)
    headers = {"Cache-Control": "private, max-age=604800, immutable"}
    return FileResponse(path, media_type=mime, headers=headers)


def _not_here(request: Request) -> Response:
    """A page or JSON for whoever opens the picture, and an image for a page that has it."""
    if wants_json(request) or "text/html" in request.headers.get("accept", ""):
        raise Refused(503, NOT_HERE)
    return Response(STANDS_IN, 503, {"Retry-After": str(AGAIN_S)}, "image/svg+xml")


ROUTES = [
    Route("/api/v1/media", upload, methods=["POST"]),
    Route("/api/v2/media", upload, methods=["POST"]),
    Route("/api/v1/media/{id}", show),
    Route("/api/v1/media/{id}", describe, methods=["PUT"]),
    Route("/media/{sha256}.{extension}", serve),
]
