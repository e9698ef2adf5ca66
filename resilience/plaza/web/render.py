"""Rendering: templates to answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from resilience.plaza.accounts import MAX_DISPLAY_NAME, MAX_NOTE, MIN_PASSWORD, Account
from resilience.plaza.bearer import new_secret
from resilience.plaza.mentions import Mention
from resilience.plaza.posts import MAX_PICTURES, MAX_TEXT
from resilience.plaza.profiles import MAX_FIELD, MAX_FIELDS
from resilience.plaza.text import line_to_html, to_html
from resilience.plaza.web.visitor import GUEST, Visitor

TEMPLATES = Path(__file__).parent.parent / "templates"
MINUTE, HOUR, DAY = 60, 3600, 86400
SAID = {
    "posted": "Your post is out.",
    "deleted": "The post is deleted. Encrypted copies hold it until they are pruned; it is never shown again.",
    "reported": "Thank you. A moderator will look at it.",
    "saved": "Saved.",
    "password": "Your password is changed. You are logged out everywhere else.",
    "recovered": "Your new password is set. Log in with it.",
    "alone": "You are logged out everywhere else.",
    "edited": "Your post is changed. What it said before can be seen in its history.",
    "decided": "Decided.",
    "appealed": "Your appeal is with the moderators.",
    "welcome": "Welcome to Plaza! Say hello, or look who is here.",
    "bye": "You are logged out.",
    "gone": "Your account and everything in it is deleted.",
    "removed": "The post is taken down, and stays down wherever the site moves.",
    "kept": "The post stays. The report is closed.",
    "hidden": "The post is hidden from everybody but its author.",
    "suspended": "The account is suspended, and its author can appeal.",
}


def ago(moment: datetime) -> str:
    """How long ago, as short as people say it."""
    now = datetime.now(UTC)
    seconds = (now - moment).total_seconds()
    if seconds < MINUTE:
        return "now"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min"
    if seconds < DAY:
        return f"{int(seconds // HOUR)} h"
    pattern = "%-d %b" if moment.year == now.year else "%-d %b %Y"
    return moment.strftime(pattern)


def due(moment: datetime) -> str:
    """How long until a deadline, or since it passed."""
    seconds = (moment - datetime.now(UTC)).total_seconds()
    amount = abs(seconds)
    shown = f"{int(amount // HOUR)} h" if amount < 2 * DAY else f"{int(amount // DAY)} days"
    return f"in {shown}" if seconds > 0 else f"{shown} ago"


def hue(account: Account) -> int:
    """Which of twelve colours somebody's initial has."""
    return sum(account.username.encode()) % 12


def prose(text: str, mentions: Iterable[Mention] = ()) -> Markup:
    """What people write, escaped, with links."""
    named = {one.username.lower(): f"/@{one.username}" for one in mentions}
    return Markup(to_html(text, named))  # noqa: S704 (to_html escapes)


def line(text: str) -> Markup:
    """One line of what people write, escaped, with links."""
    return Markup(line_to_html(text))  # noqa: S704 (line_to_html escapes)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(prose=prose, line=line, ago=ago, due=due, hue=hue)
    environment.globals.update(
        max_text=MAX_TEXT,
        max_pictures=MAX_PICTURES,
        max_note=MAX_NOTE,
        max_display_name=MAX_DISPLAY_NAME,
        max_fields=MAX_FIELDS,
        max_field=MAX_FIELD,
        min_password=MIN_PASSWORD,
        new_key=new_secret,
    )
    return environment


templates = _environment()


def page(
    request: Request,
    template: str,
    values: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    who: Visitor | None = None,
) -> Response:
    """A page from a template; without a visitor, one that names nobody."""
    text = templates.get_template(template).render(
        {
            "path": request.url.path,
            "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            "me": who.account if who else None,
            "token": who.token if who else "",
            "bare": who is None,
            "said": SAID.get(request.query_params.get("said", "")),
            **values,
        }
    )
    answer = HTMLResponse(text, status, headers)
    if who is not None and who.guest_cookie:
        secure = request.app.state.plaza.settings.secure
        answer.set_cookie(GUEST, who.guest_cookie, path="/", secure=secure, httponly=True, samesite="lax")
    return answer
