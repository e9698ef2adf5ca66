"""Canonical JSON, as the page on the format tells it to whoever writes a second implementation."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from resilience.replication import chunk, seals
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from tests.unit.test_chunk import EPOCH, HEADER, LABELLED, OPENING, SIGN, START

PAGE = Path(seals.__file__).with_name("README.md").read_text()
ROW = re.compile(r"^\| `(\{.*\})` \| `(\{.*\})` \|$", re.MULTILINE)
VECTORS = ROW.findall(PAGE.partition("**Vectors**")[2].partition("\n\n")[2].partition("\n\n")[0])
TOKEN = re.compile(rb'\s*("(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+)')


def test_the_page_has_vectors() -> None:
    """Of each rule one: text, numbers, order."""
    assert len(VECTORS) >= 10


@pytest.mark.parametrize(("written", "signed"), VECTORS)
def test_what_is_signed_is_what_the_page_says(written: str, signed: str) -> None:
    """Its table, read from the page itself; what is signed is written that way already."""
    assert seals.canonical(json.loads(written)) == signed.encode("ascii")
    assert seals.canonical(json.loads(signed)) == signed.encode("ascii")


@pytest.mark.parametrize(
    "data",
    [
        chunk.split(chunk.encode(replace(HEADER, at=12.0, site="Zürich 😀"), b"", SIGN))[0],
        chunk.encode_opening(replace(OPENING, at=1e-05), SIGN),
        chunk.encode_start(replace(START, history="1\t0/3000000\tno \x7f reason\n", at=1e16), SIGN),
        labels.encode(replace(LABELLED, at=0.1, versions={"postgres": "15.9", "arch": "x86_64"}), SIGN),
        epochs.encode(replace(EPOCH, signature=SIGN(epochs.payload(EPOCH)))),
    ],
    ids=["chunk", "opening", "start", "label", "epoch"],
)
def test_what_is_signed_is_had_from_the_objects_own_bytes(data: bytes) -> None:
    """Its tokens as they stand, sorted by key: no number and no text is ever written anew."""
    assert seals.verify(EPOCH.signer, as_they_stand(data), json.loads(data)["signature"])


def as_they_stand(data: bytes) -> bytes:
    """A second reader: without the signature, without spaces, in order."""
    tokens = TOKEN.findall(data)[::-1]
    return _value(tokens, without=b'"signature"')


def _value(tokens: list[bytes], without: bytes = b"") -> bytes:
    match tokens.pop():
        case b"{":
            members = dict[bytes, bytes]()
            while tokens[-1] != b"}":
                name, _ = tokens.pop(), tokens.pop()
                members[name] = _value(tokens)
                if tokens[-1] == b",":
                    tokens.pop()
            tokens.pop()
            named = sorted((json.loads(name), name) for name in members if name != without)
            return b"{" + b",".join(name + b":" + members[name] for _, name in named) + b"}"
        case b"[":
            items = list[bytes]()
            while tokens[-1] != b"]":
                items.append(_value(tokens))
                if tokens[-1] == b",":
                    tokens.pop()
            tokens.pop()
            return b"[" + b",".join(items) + b"]"
        case token:
            return token
