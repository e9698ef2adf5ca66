"""Caddy's certificates as they travel: taken out of its storage, and given to a new host's.

On a host: `python3 -m resilience.host.certificates take HOST [--wait S]` prints `{"files": {path: text}, "served": bool}`;
`give BUNDLE` puts what such a bundle holds into the storage, where nothing newer is there.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from resilience.host.proxy import STORAGE
from resilience.model.certificate import Certificate

TRAVELS = re.compile(r"(certificates(?!/local/)|acme)(/(?!\.)[\w.@+*-]+){2,4}", re.ASCII)
"""Certificates with their keys, and accounts at authorities; no locks, no answers about revocation."""
SECRET = 0o600
PROXY = ("127.0.0.1", 443)
ANSWERS_WITHIN_S = 5.0
Bundle = Mapping[str, str]


class Unusable(Exception):
    """No certificate of a bundle can serve a name; says why."""


def pack(storage: Path) -> dict[str, str]:
    """Everything that travels, by its path in the storage."""
    files = (path for path in sorted(storage.rglob("*")) if not path.is_symlink() and path.is_file())
    found = {str(path.relative_to(storage)): path for path in files}
    return {name: path.read_text() for name, path in found.items() if _travels(name)}


def unpack(storage: Path, bundle: Bundle) -> list[str]:
    """Put a bundle's files where nothing newer is; which were put."""
    there = pack(storage) if storage.is_dir() else {}
    put = [name for name in bundle if _travels(name) and _newer(name, bundle, there)]
    for name in put:
        path = storage / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        new.touch(mode=SECRET, exist_ok=False)
        new.write_text(bundle[name])
        new.replace(path)
    return put


def usable(bundle: Bundle, host: str, now: float) -> Certificate:
    """The certificate of a bundle that serves this name the longest; Unusable says why none does."""
    why = [f"there is none for {host}"]
    found: list[Certificate] = []
    for name in bundle:
        if name.startswith("certificates/") and name.endswith(".crt"):
            try:
                found.append(_serves(bundle, name, host, now))
            except Unusable as error:
                why.append(str(error))
    if not found:
        raise Unusable(why[-1])
    return max(found, key=lambda certificate: certificate.not_after)


def _serves(bundle: Bundle, name: str, host: str, now: float) -> Certificate:
    """What is in this file, if it is for the name, not over, and its key is beside it."""
    try:
        leaf = x509.load_pem_x509_certificate(bundle[name].encode())
        key = serialization.load_pem_private_key(bundle[f"{name.removesuffix('.crt')}.key"].encode(), None)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        json.loads(bundle[f"{name.removesuffix('.crt')}.json"])  # Caddy writes it last, and loads none without
    except (ValueError, KeyError, x509.ExtensionNotFound) as error:
        raise Unusable(f"{name}, its key or what Caddy notes of it can't be read: {error}") from error
    issuer = leaf.issuer.rfc4514_string()
    end = leaf.not_valid_after_utc
    if host not in names.get_values_for_type(x509.DNSName):
        raise Unusable(f"the one by {issuer} is for another name")
    if _public(key.public_key()) != _public(leaf.public_key()):
        raise Unusable(f"the key beside the one by {issuer} is another certificate's")
    if end.timestamp() <= now:
        raise Unusable(f"the one by {issuer} expired on {end.date()}")
    return Certificate(host, issuer, end.timestamp(), leaf.fingerprint(hashes.SHA256()).hex())


def _travels(name: str) -> bool:
    return bool(TRAVELS.fullmatch(name)) and "/challenge_tokens/" not in name


def _newer(name: str, bundle: Bundle, there: Bundle) -> bool:
    """Whether the bundle's file goes before the storage's: a certificate that ends later, with all beside it."""
    if name not in there or name.startswith("acme/"):
        return name not in there
    leaf = f"{name.rpartition('.')[0]}.crt"
    return _end(bundle, leaf) > _end(there, leaf)


def _end(bundle: Bundle, name: str) -> float:
    try:
        return x509.load_pem_x509_certificate(bundle[name].encode()).not_valid_after_utc.timestamp()
    except (ValueError, KeyError):
        return 0.0


def _public(key: object) -> bytes:
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(*form))  # type: ignore[attr-defined]


@contextmanager
def _acting_as(user: str) -> Iterator[None]:
    """With the rights of whoever owns the storage, who may have put links there: none leads where that user can't go."""
    if os.geteuid() != 0:
        yield
        return
    who, groups = pwd.getpwnam(user), os.getgroups()
    os.initgroups(user, who.pw_gid)
    os.setegid(who.pw_gid)
    os.seteuid(who.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def main() -> int:
    """Take or give."""
    parser = argparse.ArgumentParser()
    parser.add_argument("act", choices=("take", "give"))
    parser.add_argument("what", help="the name, or the bundle's file")
    parser.add_argument("--wait", type=float, default=0.0)
    parser.add_argument("--storage", type=Path, default=Path(STORAGE))
    parser.add_argument("--user", default="caddy")
    asked = parser.parse_args()
    if asked.act == "give":
        bundle = Path(asked.what)
        files = json.loads(bundle.read_text())["files"]
        with _acting_as(asked.user):
            unpack(asked.storage, files)
        bundle.unlink()
        return 0
    with _acting_as(asked.user):
        files, served = take(asked.storage, asked.what, asked.wait)
    print(json.dumps({"files": files, "served": served}))  # noqa: T201 - its answer
    return 0


def take(storage: Path, host: str, wait_s: float) -> tuple[dict[str, str], bool]:
    """What is in the storage, and whether the proxy serves this name; once it does, for so many seconds at most."""
    until = time.monotonic() + wait_s
    while True:
        bundle, served = pack(storage), False
        with suppress(Unusable):
            usable(bundle, host, time.time())
            served = serves(host)
        if served or time.monotonic() >= until:
            return bundle, served
        time.sleep(0.1)


def serves(host: str) -> bool:
    """Whether the proxy here has a certificate for this name in use: one that lies in its storage may not be."""
    whoever = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    whoever.check_hostname, whoever.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(PROXY, ANSWERS_WITHIN_S) as line,
            whoever.wrap_socket(line, server_hostname=host) as secured,
        ):
            return bool(secured.getpeercert(binary_form=True))
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
