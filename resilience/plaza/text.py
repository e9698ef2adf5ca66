"""Text: what people write, as HTML that can't do anything but be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

MENTION = re.compile(r"(?<![\w@/.])@([A-Za-z0-9_]{1,30})\b(?!@)")
LINK = re.compile(r"https?://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]}]")
SHOWN = 40


def to_html(text: str, named: Mapping[str, str] | None = None) -> str:
    """Paragraphs and line breaks, links that may be clicked, everything else escaped.

    `named`: addresses of the people who are mentioned, by their name in lower case.
    """
    paragraphs = re.split(r"\n{2,}", text.replace("\r\n", "\n").strip())
    return "".join(f"<p>{_lines(part, named or {})}</p>" for part in paragraphs if part)


def line_to_html(text: str) -> str:
    """One line: links that may be clicked, everything else escaped."""
    return _links(" ".join(text.split()), {})


def _lines(text: str, named: Mapping[str, str]) -> str:
    return _links(text, named).replace("\n", "<br>")


def _links(text: str, named: Mapping[str, str]) -> str:
    parts: list[str] = []
    end = 0
    for match in LINK.finditer(text):
        parts += [_people(text[end : match.start()], named), _anchor(match.group())]
        end = match.end()
    return "".join([*parts, _people(text[end:], named)])


def _people(text: str, named: Mapping[str, str]) -> str:
    """Text without links, with the names of people who are here."""

    def link(match: re.Match[str]) -> str:
        url = named.get(match[1].lower())
        if url is None:
            return match[0]
        return f'<span class="h-card"><a href="{escape(url)}" class="u-url mention">@<span>{match[1]}</span></a></span>'

    return MENTION.sub(link, escape(text))


def _anchor(url: str) -> str:
    shown = url.split("://", 1)[1]
    shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
    rel = "nofollow noopener noreferrer"
    return f'<a href="{escape(url)}" rel="{rel}" target="_blank">{escape(shown)}</a>'
