"""Endpoints: the signed list of addresses that clients follow when the site's name is lost.

    python -m resilience.plaza.endpoints keygen --key KIT/endpoints.key
    python -m resilience.plaza.endpoints sign --key KIT/endpoints.key --out KIT/endpoints.json --endpoint URL …
    python -m resilience.plaza.endpoints publish --public KIT/endpoints.pub --list KIT/endpoints.json --mirrors KIT/mirrors.json
    python -m resilience.plaza.endpoints fetch --public KIT/endpoints.pub --seen FILE URL …

The list is `{"payload": TEXT, "signature": HEX}`. The signature (Ed25519) covers the UTF-8 bytes of TEXT, which is JSON:
format, version, issued, expires, endpoints (where the app is), mirrors (where lists are kept), notice (one sentence).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from resilience.plaza.errors import PlazaError

FORMAT = "plaza-endpoints-1"
LONGEST = 65_536
ASK_S = 5.0


@dataclass(frozen=True, slots=True)
class Listing:
    """Where the app is, as somebody with the key said it."""

    version: int
    issued: str
    expires: str
    endpoints: tuple[str, ...]
    mirrors: tuple[str, ...]
    notice: str = ""
    format: str = FORMAT

    def is_current(self, now: datetime) -> bool:
        """Whether it may still be followed."""
        return now < datetime.fromisoformat(self.expires)


class NotTrusted(PlazaError):
    """A list that must not be followed."""


def sign(listing: Listing, key: Ed25519PrivateKey) -> str:
    """The list as clients read it."""
    for url in (*listing.endpoints, *listing.mirrors):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise PlazaError("The list was not signed", f"'{url}' is no address", "Write https://host.")
    payload = json.dumps(asdict(listing), ensure_ascii=False, sort_keys=True)
    return json.dumps({"payload": payload, "signature": key.sign(payload.encode()).hex()}) + "\n"


def read(text: str | bytes, public: Ed25519PublicKey, seen: Listing | None = None) -> Listing:
    """A list that our key signed, and that is not older than one already seen. It may have expired: look."""
    what = "This list of endpoints is not followed"
    try:
        outer = json.loads(text)
        payload, signature = str(outer["payload"]), bytes.fromhex(outer["signature"])
        public.verify(signature, payload.encode())
        fields = json.loads(payload)
        listing = Listing(**{**fields, "endpoints": tuple(fields["endpoints"]), "mirrors": tuple(fields["mirrors"])})
        datetime.fromisoformat(listing.expires)
    except InvalidSignature:
        raise NotTrusted(what, "it was not signed with our key", "Ask another mirror.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotTrusted(what, f"it can't be read ({error!r})", "Ask another mirror.") from None
    if listing.format != FORMAT:
        raise NotTrusted(what, f"its format is '{listing.format}'", "Update this client.")
    if seen is not None and (listing.version < seen.version or (listing.version == seen.version and listing != seen)):
        why = f"it is version {listing.version}, and version {seen.version} has been seen already"
        raise NotTrusted(what, why, "Ask another mirror.")
    return listing


def parse_public(text: str) -> Ed25519PublicKey:
    """A public key in hexadecimal."""
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text.strip()))


class Endpoints:
    """The list that this site serves: read again when its file changes, and only if it is ours and not older."""

    def __init__(self, file: Path | None, public: Path | None) -> None:
        self._file = file
        self.public = public.read_text().strip() if public else ""
        self._stamp: tuple[int, int] | None = None
        self._text = ""
        self._listing: Listing | None = None

    def current(self) -> tuple[str, Listing] | None:
        """The list's own text and what it says; None where no list is kept."""
        if self._file is None or not self.public:
            return None
        try:
            found = self._file.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                text = self._file.read_text()
                self._listing = read(text, parse_public(self.public), self._listing)
                self._text, self._stamp = text, stamp
        except (OSError, NotTrusted, ValueError):
            return None if self._listing is None else (self._text, self._listing)
        return (self._text, self._listing) if self._listing else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a key, sign a list, bring it to its mirrors, or fetch the newest one that can be trusted."""
    options = _parser().parse_args(arguments)
    try:
        facts = {"keygen": _keygen, "sign": _sign, "publish": _publish, "fetch": _fetch}[options.command](options)
    except (PlazaError, OSError, ValueError) as error:
        print(f"endpoints: {error}", file=sys.stderr)
        return 1
    print(json.dumps(facts))
    return 1 if options.command == "publish" and facts["problems"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="endpoints", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    keygen = commands.add_parser("keygen", help="make the key; keep it where no host is")
    signing = commands.add_parser("sign", help="sign the next version of the list")
    for command in (keygen, signing):
        command.add_argument("--key", type=Path, required=True, help="private key; its public half goes beside it")
    signing.add_argument("--out", type=Path, required=True, help="the list; holds the version before, if there is one")
    signing.add_argument("--endpoint", action="append", required=True, help="where the app is; several, best first")
    signing.add_argument("--mirror", action="append", default=[], help="where this list is kept; several")
    signing.add_argument("--notice", default="", help="one sentence that clients show while the site is away")
    signing.add_argument("--days", type=int, default=30, help="how long it may be followed (default 30)")
    publishing = commands.add_parser("publish", help="bring the list to every mirror that it names, and read it back")
    publishing.add_argument("--public", type=Path, required=True)
    publishing.add_argument("--list", type=Path, required=True)
    publishing.add_argument("--mirrors", type=Path, required=True, help="how to write to each; holds credentials")
    fetching = commands.add_parser("fetch", help="the newest list that mirrors have and our key signed")
    fetching.add_argument("--public", type=Path, required=True)
    fetching.add_argument(
        "--seen", type=Path, required=True, help="the newest list so far; written when there is a newer"
    )
    fetching.add_argument("mirror", nargs="+")
    return parser


def _keygen(options: argparse.Namespace) -> dict[str, object]:
    key = Ed25519PrivateKey.generate()
    handle = os.open(options.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = _public_hex(key)
    options.key.with_suffix(".pub").write_text(public + "\n")
    return {"public": public}


def _sign(options: argparse.Namespace) -> dict[str, object]:
    key = load_pem_private_key(options.key.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise PlazaError("The list was not signed", f"{options.key} is not an Ed25519 key", "Make one with keygen.")
    before = read(options.out.read_bytes(), key.public_key()) if options.out.exists() else None
    now = datetime.now(UTC).replace(microsecond=0)
    listing = Listing(
        version=before.version + 1 if before else 1,
        issued=now.isoformat(),
        expires=(now + timedelta(days=options.days)).isoformat(),
        endpoints=tuple(url.rstrip("/") for url in options.endpoint),
        mirrors=tuple(options.mirror),
        notice=options.notice,
    )
    new = options.out.with_suffix(".new")
    new.write_text(sign(listing, key))
    new.rename(options.out)
    options.key.with_suffix(".pub").write_text(_public_hex(key) + "\n")
    return asdict(listing)


def _publish(options: argparse.Namespace) -> dict[str, object]:
    from resilience.plaza.publishing import mirrors, publish

    places = mirrors(options.mirrors)
    return publish(options.list.read_bytes(), parse_public(options.public.read_text()), places)


def _fetch(options: argparse.Namespace) -> dict[str, object]:
    public = parse_public(options.public.read_text())
    newest = read(options.seen.read_bytes(), public) if options.seen.exists() else None
    said: list[str] = []
    for mirror in options.mirror:
        try:
            text = _ask(mirror)
            newest = read(text, public, newest)
        except (NotTrusted, urllib3.exceptions.HTTPError) as error:
            said.append(f"{mirror}: {error}")
            continue
        options.seen.write_bytes(text)
    if newest is None:
        raise PlazaError("No list could be trusted", "; ".join(said), "Ask other mirrors.")
    return {**asdict(newest), "current": newest.is_current(datetime.now(UTC)), "problems": said}


def _ask(mirror: str) -> bytes:
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=ASK_S))
    answer = pool.request("GET", mirror, preload_content=False)
    if answer.status != 200:
        raise urllib3.exceptions.HTTPError(f"status {answer.status}")
    return bytes(answer.read(LONGEST))


def _public_hex(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


if __name__ == "__main__":
    sys.exit(main())
