"""Pictures: upload, look up, describe; and their files."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import entities, media
from resilience.plaza.api.common import base_of, user
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import parse_id
from resilience.plaza.params import read_params
from resilience.plaza.pictures import EXTENSIONS
from resilience.plaza.state import plaza_of


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
    """GET /media/<sha256>.<ext>: the file, as long as some row names it."""
    plaza = plaza_of(request)
    sha256, extension = request.path_params["sha256"], request.path_params["extension"]
    async with plaza.db.read() as conn:
        mime = await media.mime_of(conn, sha256)
    path = plaza.store.path(sha256)
    if mime is None or EXTENSIONS[mime] != extension or not path.is_file():
        raise not_found()
    headers = {"Cache-Control": "private, max-age=604800, immutable"}
    return FileResponse(path, media_type=mime, headers=headers)


ROUTES = [
    Route("/api/v1/media", upload, methods=["POST"]),
    Route("/api/v2/media", upload, methods=["POST"]),
    Route("/api/v1/media/{id}", show),
    Route("/api/v1/media/{id}", describe, methods=["PUT"]),
    Route("/media/{sha256}.{extension}", serve),
]
