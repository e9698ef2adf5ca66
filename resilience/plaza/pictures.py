"""Pictures: what people upload is decoded, turned upright, made smaller and encoded anew.

Nothing of the original file survives: no camera, no place, no second file behind the first.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from starlette.datastructures import UploadFile

from resilience.plaza.errors import Refused

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MIMES = ("image/jpeg", "image/png", "image/webp", "image/gif")
EXTENSIONS = {"image/jpeg": "jpg", "image/webp": "webp"}
MAX_BYTES = 16 * 1024 * 1024
MAX_PIXELS = 40_000_000
MAX_SIDE = 1920

UNREADABLE = "This file is not a picture that Plaza can read. Use JPEG, PNG, WebP or GIF."
TOO_LARGE = "This file is too large. Pictures may have up to 16 MB and 40 megapixels."


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is stored."""

    sha256: str
    data: bytes
    mime: str
    width: int
    height: int


class Darkroom:
    """Makes pictures, two at a time: a large one takes a core and a lot of memory for a moment."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="pictures")

    async def develop(self, upload: UploadFile, shape: tuple[int, int] | None = None) -> Picture:
        """The picture to store for an uploaded file; `shape`: cut to that, around its middle."""
        if upload.size is not None and upload.size > MAX_BYTES:
            raise Refused(422, TOO_LARGE)
        data = await upload.read()
        return await asyncio.get_running_loop().run_in_executor(self._pool, make_picture, data, shape)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def make_picture(upload: bytes, shape: tuple[int, int] | None = None) -> Picture:
    """The picture to store for an upload; refuses what isn't one, or is too large to be honest."""
    if len(upload) > MAX_BYTES:
        raise Refused(422, TOO_LARGE)
    try:
        image = _decode(upload)
    except Image.DecompressionBombError:
        raise Refused(422, TOO_LARGE) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise Refused(422, UNREADABLE) from None
    return picture_of(image if shape is None else ImageOps.fit(image, shape, Image.Resampling.LANCZOS))


def picture_of(image: Image.Image) -> Picture:
    """The picture to store for plain pixels."""
    data, mime = _encode(image)
    return Picture(hashlib.sha256(data).hexdigest(), data, mime, image.width, image.height)


def _decode(upload: bytes) -> Image.Image:
    with warnings.catch_warnings(), Image.open(io.BytesIO(upload), formats=FORMATS) as image:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if image.width * image.height > MAX_PIXELS:
            raise Refused(422, TOO_LARGE)
        image.draft("RGB", (MAX_SIDE, MAX_SIDE))
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return _plain(upright)


def _plain(image: Image.Image) -> Image.Image:
    """Pixels alone, in sRGB: a new image that took nothing but colour from the old one."""
    transparent = "A" in image.getbands() or "transparency" in image.info
    mode = "RGBA" if transparent else "RGB"
    profile = image.info.get("icc_profile")
    converted = image.convert(mode)
    if profile and image.mode in ("RGB", "RGBA"):
        converted = _to_srgb(converted, profile)
    plain = Image.new(mode, converted.size)
    plain.paste(converted)
    return plain


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError):
        return image
    return converted or image


def _encode(image: Image.Image) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    if image.mode == "RGBA":
        image.save(buffer, "WEBP", quality=85, method=2)
        return buffer.getvalue(), "image/webp"
    image.save(buffer, "JPEG", quality=86, progressive=True)
    return buffer.getvalue(), "image/jpeg"
