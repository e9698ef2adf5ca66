"""Pictures: what is stored is decoded and made anew; what lies is refused."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import struct
import zlib
from contextlib import suppress

import httpx
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from resilience.plaza.errors import Refused
from resilience.plaza.pictures import MAX_SIDE, make_picture
from tests.plaza.harness import PASSWORD, Site, picture, sha_of
from tests.plaza.pages import browser, fields_of, send


def with_place(size: tuple[int, int] = (300, 200)) -> bytes:
    """A photograph that says with which camera, where, and that it lies on its side."""
    image = Image.new("RGB", size, "red")
    exif = Image.Exif()
    exif[Base.Make] = "SecretCam"
    exif[Base.Orientation] = 6
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, comment=b"secret comment")
    return buffer.getvalue()


def png_bomb(side: int) -> bytes:
    """A small file that says it is enormous."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes(side + 1) * 200, 9)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_camera_and_place_are_gone_and_the_picture_stands_upright(plaza: Site, name: str) -> None:
    """No metadata survives; the orientation it asked for is applied."""
    upload = with_place()
    assert b"SecretCam" in upload
    url = plaza.client(name).media_post(upload, "image/jpeg").url
    stored = httpx.get(url).content
    image = Image.open(io.BytesIO(stored))
    assert dict(image.getexif()) == {}
    assert b"SecretCam" not in stored
    assert b"secret comment" not in stored
    assert b"Exif" not in stored
    assert image.size == (200, 300)


def test_the_name_is_the_hash_and_the_shipper_has_it(plaza: Site, name: str) -> None:
    """The address names the sha256 of the stored bytes, and the same file waits in the outbox."""
    url = plaza.client(name).media_post(picture(40), "image/jpeg").url
    stored = httpx.get(url).content
    sha = sha_of(url)
    assert hashlib.sha256(stored).hexdigest() == sha
    file, waiting = plaza.picture_file(sha), plaza.folder / "outbox/media" / sha
    assert file.stat().st_ino == waiting.stat().st_ino
    assert file.stat().st_mode & 0o777 == 0o640


def declare(plaza: Site, length: int) -> int:
    """Announce a body of this length, send nothing of it, and see what is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", plaza.port, timeout=120)
    connection.putrequest("POST", "/api/v2/media")
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_usual_formats_are_understood(plaza: Site, name: str, kind: str) -> None:
    """Each becomes a JPEG or, where it is transparent, a WebP."""
    media = plaza.client(name).media_post(picture(3, kind), f"image/{kind.lower()}")
    assert media.url.endswith(".jpg")
    assert media.meta.original.size == "320x240"


def test_transparency_survives(plaza: Site, name: str) -> None:
    """A picture with holes keeps them."""
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(buffer, "PNG")
    url = plaza.client(name).media_post(buffer.getvalue(), "image/png").url
    assert url.endswith(".webp")
    answer = httpx.get(url)
    assert answer.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(answer.content)).convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_large_pictures_are_made_smaller() -> None:
    """Nobody needs to load more than a screen can show."""
    made = make_picture(picture(1, size=(4000, 1000)))
    assert (made.width, made.height) == (MAX_SIDE, MAX_SIDE // 4)


@pytest.mark.parametrize(
    "upload",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"GIF89a<script>alert(1)</script>",
        b"%PDF-1.7",
        picture(1)[:400],
        b"II*\x00" + bytes(100),
    ],
)
def test_what_is_no_picture_is_refused(plaza: Site, name: str, upload: bytes) -> None:
    """Scripts, documents and torn files are refused with a sentence, and nothing is stored."""
    with plaza.http(plaza.client(name)) as http:
        answer = http.post("/api/v2/media", files={"file": ("x.jpg", upload, "image/jpeg")})
    assert answer.status_code == 422
    assert "not a picture" in answer.json()["error"]


def test_a_polyglot_loses_its_second_face(plaza: Site, name: str) -> None:
    """A picture that is also a script is only a picture afterwards."""
    upload = picture(9) + b"<script>alert('polyglot')</script>"
    url = plaza.client(name).media_post(upload, "image/jpeg").url
    assert b"polyglot" not in httpx.get(url).content


def test_a_decompression_bomb_is_refused_before_it_unfolds(plaza: Site, name: str) -> None:
    """A few kilobytes that claim 900 megapixels are refused by their header."""
    bomb = png_bomb(30_000)
    assert len(bomb) < 100_000
    with plaza.http(plaza.client(name)) as http:
        answer = http.post("/api/v2/media", files={"file": ("x.png", bomb, "image/png")})
    assert answer.status_code == 422
    assert "too large" in answer.json()["error"]


def test_files_that_are_too_large_are_refused(plaza: Site, name: str) -> None:
    """A file over 16 MB is refused; a body over the limit is not even read."""
    with plaza.http(plaza.client(name)) as client:
        answer = client.post("/api/v2/media", files={"file": ("x.jpg", bytes(17 * 1024 * 1024), "image/jpeg")})
        assert answer.status_code == 422
        assert declare(plaza, 200 * 1024 * 1024) == 413


def test_the_same_picture_twice_is_one_file(plaza: Site, name: str) -> None:
    """Content-addressed: a second upload adds a row, and removing one post keeps the other's picture."""
    api = plaza.client(name)
    first, second = (api.media_post(picture(60), "image/jpeg") for _ in range(2))
    assert first.url == second.url
    one = api.status_post("one", media_ids=[first])
    api.status_post("two", media_ids=[second])
    api.status_delete(one)
    assert httpx.get(second.url).status_code == 200


def named(plaza: Site, sha: str) -> bool:
    """Whether the ledger says that a picture is gone."""
    return any(sha in json.loads(path.read_bytes())["media"] for path in (plaza.folder / "ledger").iterdir())


def test_what_nothing_shows_any_more_is_in_the_ledger(plaza: Site, name: str) -> None:
    """Edited out or replaced: gone here at once, and named by an entry, so that every vault is rid of it; the rest stays."""
    api = plaza.client(name)
    media = [api.media_post(picture(seed), "image/jpeg") for seed in (70, 71)]
    post = api.status_post("two", media_ids=media)
    api.status_update(post, "one", media_ids=[media[1]])
    api.account_update_credentials(avatar=picture(72), avatar_mime_type="image/jpeg")
    before = api.me().avatar
    api.account_update_credentials(avatar=picture(73), avatar_mime_type="image/jpeg")
    for gone in (media[0].url, before):
        assert httpx.get(gone).status_code == 404
        assert not plaza.picture_file(sha_of(gone)).exists()
        assert named(plaza, sha_of(gone))
    for stays in (media[1].url, api.me().avatar):
        assert httpx.get(stays).status_code == 200
        assert not named(plaza, sha_of(stays))
    assert [one.id for one in api.status(post).media_attachments] == [media[1].id]


def test_a_picture_whose_post_is_refused_goes_nowhere_or_is_named(plaza: Site, name: str) -> None:
    """Where the post can be told from its words it is not even stored; where it can't, a row names it, and erasing finds it."""
    api = plaza.client(name)
    client = browser(plaza, name)
    form = fields_of(client.get("/").text)

    def refused(seed: int, status: int, **said: str) -> str:
        """The picture's name, where it was stored."""
        files = {"picture1": ("a.jpg", picture(seed), "image/jpeg")}
        assert client.post("/posts", data={**form, **said}, files=files).status_code == status
        sha = make_picture(picture(seed)).sha256
        return sha if plaza.picture_file(sha).exists() else ""

    assert refused(81, 422, text="x" * 450, spoiler_text="y" * 60) == ""
    sha = refused(82, 404, text="short", in_reply_to_id="1")
    assert plaza.sql("SELECT count(*) FROM statuses WHERE account_id = %s", int(api.me().id)) == [(0,)]
    assert plaza.sql("SELECT purpose FROM media WHERE sha256 = %s AND status_id IS NULL", sha) == [("post",)]
    gone = send(client, "/settings/delete", {"password": PASSWORD, "sure": "1"})
    assert gone.status_code == 303, gone.text
    [entry] = [body for path in (plaza.folder / "ledger").iterdir() if sha in (body := path.read_text())]
    assert json.loads(entry)["action"] == "erase-account"
    assert not plaza.picture_file(sha).exists()
    assert not (plaza.folder / "outbox" / "media" / sha).exists()


def test_a_picture_that_is_not_here_is_awaited(plaza: Site, name: str) -> None:
    """Shown by a row and not here: come again later, for programs, for people and for a page that has it; then it is served."""
    api = plaza.client(name)
    media = api.media_post(picture(80), "image/jpeg")
    api.status_post("one", media_ids=[media])
    aside = plaza.picture_file(sha_of(media.url)).rename(plaza.folder / "aside")
    for accept, mime in (
        ("application/json", "application/json"),
        ("text/html,*/*", "text/html"),
        ("image/*", "image/svg"),
    ):
        answer = httpx.get(media.url, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "no-store" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith(mime)
    assert httpx.get(media.url.replace(".jpg", ".webp")).status_code == 404
    aside.rename(plaza.picture_file(sha_of(media.url)))
    assert httpx.get(media.url).content == plaza.picture_file(sha_of(media.url)).read_bytes()


def test_files_without_a_row_are_not_served(plaza: Site) -> None:
    """What no row names is nobody's business, and neither is anything outside the store."""
    sha = hashlib.sha256(b"left over").hexdigest()
    file = plaza.picture_file(sha)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"left over")
    assert httpx.get(f"{plaza.base}/media/{sha}.jpg").status_code == 404
    for path in ("/media/../ledger.key", "/media/%2e%2e%2fledger.key.jpg", "/media/x.jpg", "/static/../app.py"):
        assert httpx.get(plaza.base + path).status_code == 404


def test_torn_pictures_never_crash_the_maker() -> None:
    """Every prefix of a real file is a picture or is refused; nothing else happens."""
    whole = picture(2, size=(64, 64))
    for end in range(0, len(whole), 97):
        with suppress(Refused):
            assert make_picture(whole[:end]).width == 64
