"""A user of plaza over HTTP, by the Mastodon client API; small and quick, for many requests."""

from __future__ import annotations

import hashlib
import re
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from resilience.host.proxy import OWN_NAME

SCOPES = "read write follow"
MODERATION = "admin:read admin:write"
TIMEOUT = httpx.Timeout(6.0, connect=2.0)
IN_LINE = httpx.Timeout(15.0, connect=2.0)
"""plaza holds the answer to a sign-up or a takedown back for some seconds, until it is held elsewhere."""


class NotServed(Exception):
    """A request that the site did not serve; `status` is 0 where there was no answer."""

    def __init__(self, what: str, status: int, detail: str) -> None:
        self.what, self.status, self.detail = what, status, detail
        super().__init__(f"{what}: {detail}")


def _peer(answer: httpx.Response) -> str:
    """The address that answered; none where the connection was ended with the answer."""
    try:
        return str(answer.extensions["network_stream"].get_extra_info("server_addr")[0])
    except OSError:
        return ""


@dataclass
class Client:
    """One user's connection to `base`, for example http://plaza.test; not shared by threads."""

    base: str
    watch: Callable[[float, str, bool, float, str], None] = lambda *_: None
    gate_pass: str | None = None
    """Opens a gate that is closed; sent to the operator's own address only, never by name."""
    root: str = ""
    """Whom to trust (PEM) where `base` is an address by HTTPS: the proxy's own authority, not users'."""
    http: httpx.Client = field(init=False)
    peer: str = ""
    """Address that answered last: where the name led, whatever anybody meant it to."""

    def __post_init__(self) -> None:
        headers = {"X-Resilience-Pass": self.gate_pass} if self.gate_pass else {}
        trust: ssl.SSLContext | bool = True
        if self.root:
            headers["Host"] = OWN_NAME
            trust = ssl.create_default_context(cadata=self.root)
        self.http = httpx.Client(
            base_url=self.base, timeout=TIMEOUT, follow_redirects=False, headers=headers, verify=trust
        )

    def call(self, what: str, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """One request; NotServed unless it was answered with success."""
        began, clock = time.time(), time.perf_counter()
        meant = {"sni_hostname": OWN_NAME} if self.root else {}
        try:
            answer = self.http.request(method, path, extensions=meant, **kwargs)
        except httpx.HTTPError as error:
            detail = type(error).__name__
            self.watch(began, what, False, (time.perf_counter() - clock) * 1000, detail)
            raise NotServed(what, 0, f"{detail}: {error}") from error
        ms = (time.perf_counter() - clock) * 1000
        self.peer = _peer(answer)
        self.watch(began, what, answer.is_success, ms, str(answer.status_code))
        if not answer.is_success:
            raise NotServed(what, answer.status_code, f"{answer.status_code} {answer.text[:200]}")
        return answer

    def log_in(self, name: str, password: str, scopes: str = SCOPES) -> None:
        """Log in; later requests carry the token."""
        app = self._app(scopes)
        form = {
            **app,
            "grant_type": "password",
            "username": name,
            "password": password,
            "scope": scopes,
        }
        token = self.call("log in", "POST", "/oauth/token", data=form).json()
        self._bear(token["access_token"])

    def register(self, name: str, password: str) -> None:
        """Make an account; later requests carry its token."""
        app = self._app()
        form = {**app, "grant_type": "client_credentials", "scope": SCOPES}
        token = self.call("app token", "POST", "/oauth/token", data=form).json()
        self._bear(token["access_token"])
        account = {
            "username": name,
            "password": password,
            "email": f"{name}@users.test",
            "agreement": "true",
            "locale": "en",
        }
        made = self.call("register", "POST", "/api/v1/accounts", data=account, timeout=IN_LINE).json()
        self._bear(made["access_token"])

    def _app(self, scopes: str = SCOPES) -> dict[str, str]:
        form = {
            "client_name": "journey",
            "redirect_uris": "urn:ietf:wg:oauth:2.0:oob",
            "scopes": scopes,
        }
        app = self.call("app", "POST", "/api/v1/apps", data=form).json()
        return {"client_id": app["client_id"], "client_secret": app["client_secret"]}

    def _bear(self, token: str) -> None:
        self.http.headers["Authorization"] = f"Bearer {token}"

    def upload(self, picture: bytes, alt: str) -> dict[str, Any]:
        """Put up a picture; its media attachment."""
        files = {"file": ("picture.png", picture, "image/png")}
        answer = self.call("upload", "POST", "/api/v2/media", files=files, data={"description": alt})
        return dict(answer.json())

    def post(self, text: str, media: list[str] | None = None, key: str | None = None) -> dict[str, Any]:
        """Post once, however often it is repeated with the same key; the status."""
        body = {"status": text, "media_ids": media or []}
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        answer = self.call("post", "POST", "/api/v1/statuses", json=body, headers=headers)
        return dict(answer.json())

    def who_am_i(self) -> dict[str, Any]:
        """The account that the token is for; not served while its owner still stands in line."""
        return dict(self.call("who am I", "GET", "/api/v1/accounts/verify_credentials").json())

    def find(self, written: str) -> dict[str, Any]:
        """What was written: a status by its id, a person by @name."""
        if written.startswith("@"):
            found = self.call("look up", "GET", "/api/v1/accounts/lookup", params={"acct": written[1:]})
            return dict(found.json())
        return self.read(written)

    def read(self, status: str) -> dict[str, Any]:
        """One status."""
        return dict(self.call("read", "GET", f"/api/v1/statuses/{status}").json())

    def timeline(self, name: str = "public", **params: Any) -> list[dict[str, Any]]:
        """A timeline's newest page."""
        answer = self.call("timeline", "GET", f"/api/v1/timelines/{name}", params=params)
        return list(answer.json())

    def report(self, status: str, account: str) -> None:
        """Report a post of this account."""
        report = {"account_id": account, "status_ids": [status], "comment": "A drill's report"}
        self.call("report", "POST", "/api/v1/reports", json=report)

    def take_down(self, status: str) -> None:
        """Take a post down, however often it is asked; only a moderator may."""
        path = f"/api/v1/admin/statuses/{status}/takedown"
        self.call("take down", "POST", path, json={"reason": "a drill's takedown"}, timeout=IN_LINE)

    def look(self, url: str) -> str:
        """Fetch a picture by its URL, whatever host the URL names; the sha256 of what came."""
        path = re.sub(r"^https?://[^/]+", "", url)
        return hashlib.sha256(self.call("picture", "GET", path).content).hexdigest()
