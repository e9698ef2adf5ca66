"""Text: what people write, as HTML that can't do anything but be read."""

from __future__ import annotations

import re
from html import escape

LINK = re.compile(r"https?://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]}]")
SHOWN = 40


def to_html(text: str) -> str:
    """Paragraphs and line breaks, links that may be clicked, everything else escaped."""
    paragraphs = re.split(r"\n{2,}", text.replace("\r\n", "\n").strip())
    return "".join(f"<p>{_lines(part)}</p>" for part in paragraphs if part)


def _lines(text: str) -> str:
    return _links(text).replace("\n", "<br>")


def _links(text: str) -> str:
    parts: list[str] = []
    end = 0
    for match in LINK.finditer(text):
        parts += [escape(text[end : match.start()]), _anchor(match.group())]
        end = match.end()
    return "".join([*parts, escape(text[end:])])


def _anchor(url: str) -> str:
    shown = url.split("://", 1)[1]
    shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
    rel = "nofollow noopener noreferrer"
    return f'<a href="{escape(url)}" rel="{rel}" target="_blank">{escape(shown)}</a>'
