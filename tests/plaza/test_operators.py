"""What operators see: metrics on the host alone, and a log without anybody's secrets."""

from __future__ import annotations

import json
import re

import httpx
from cryptography.fernet import Fernet

from resilience.plaza.access import OUT_OF_BAND
from tests.plaza.harness import PASSWORD, Site, wait_until
from tests.plaza.pages import browser, guest, send


def test_metrics_are_for_the_host_alone(plaza: Site, name: str) -> None:
    """Counts by handler, not by person, and no app of nobody's counts as one inside; through a proxy there is nothing."""
    api = plaza.client(name)
    guest(plaza).get(f"/@{name}")
    wait_until(lambda: "plaza_rows_in_clear 0.0" in httpx.get(plaza.base + "/metrics").text, plaza.log)
    text = httpx.get(plaza.base + "/metrics").text
    assert re.search(
        r'plaza_request_seconds_count\{handler="reading.profile",lane="outside",method="GET",status="200"\} [1-9]', text
    )
    assert re.search(r"^plaza_let_in_total [1-9]", text, re.MULTILINE)
    assert "plaza_open 1.0" in text
    assert re.search(r"^plaza_keys_ready [1-9]", text, re.MULTILINE)
    assert re.search(r"^plaza_keys_not_held \d", text, re.MULTILINE)
    assert name not in text
    for junk in ({"Cookie": "plaza_session=junk"}, {"Authorization": "Bearer junk"}):
        httpx.get(plaza.base + f"/@{name}", headers=junk)
    httpx.get(plaza.base + "/api/v1/instance", headers={"Authorization": "Bearer junk"})
    browser(plaza, name).get(f"/@{name}")
    api.me()
    app = httpx.post(plaza.base + "/api/v1/apps", data={"client_name": "x", "redirect_uris": OUT_OF_BAND}).json()
    own = httpx.post(plaza.base + "/oauth/token", data={**app, "grant_type": "client_credentials"}).json()
    for _ in range(2):
        bearer = {"Authorization": f"Bearer {own['access_token']}"}
        assert httpx.get(plaza.base + "/api/v1/apps/verify_credentials", headers=bearer).status_code == 200
    text = httpx.get(plaza.base + "/metrics").text
    for handler, lane in [
        ("reading.profile", "claimed"), ("instance.instance_v1", "claimed"),
        ("reading.profile", "inside"), ("accounts.verify_credentials", "inside"), ("oauth.verify_app", "claimed"),
    ]:  # fmt: skip
        assert re.search(rf'handler="{handler}",lane="{lane}",method="GET",status="200"\}} [1-9]', text), (
            handler,
            lane,
        )
    assert 'handler="oauth.verify_app",lane="inside"' not in text
    assert httpx.get(plaza.base + "/metrics", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 404


def test_the_log_has_no_secrets(plaza: Site, name: str) -> None:
    """After signing up, logging in wrongly and rightly, an app's tokens and a crash of somebody's form: lines are JSON, and none has a secret."""
    client = guest(plaza)
    send(client, "/register", {"username": name, "password": PASSWORD, "agreement": "1"})
    api = plaza.client(f"{name}a")
    inside = browser(plaza, name)
    send(guest(plaza), "/login", {"username": name, "password": "wrong horse", "next": "/"})
    api.status_post("text of a post")
    send(inside, "/settings", {"display_name": "x" * 400, "note": ""})
    httpx.get(plaza.base + "/confirm/a-secret-link?token=in-the-address")
    log = plaza.log()
    lines = [json.loads(line) for line in log.splitlines() if line.strip()]
    assert {line["event"] for line in lines} >= {"request", "open"}
    assert any(line.get("handler") == "joining.register" and line["status"] == 303 for line in lines)
    secrets = [
        PASSWORD, "wrong horse", f"{name}a@users.test", "text of a post", "a-secret-link", "in-the-address",
        str(api.access_token), inside.cookies["plaza_session"], client.cookies["plaza_session"],
    ]  # fmt: skip
    for secret in secrets:
        assert secret not in log


def test_a_task_that_breaks_is_told_of_and_starts_again(plaza: Site, name: str) -> None:
    """A place in line that breaks every door: written down without what is in it, counted; once it is gone people come in."""
    sealed = Fernet((plaza.folder / "signups.key").read_bytes()).encrypt(b"\xff")
    poison = "INSERT INTO signups (ticket_hash, username, email, sealed) VALUES (%s, %s, %s, %s)"
    plaza.sql(poison, b"ticket", name, f"{name}@users.test", sealed)

    def broken() -> dict[str, float]:
        text = httpx.get(plaza.base + "/metrics").text
        return {task: float(n) for task, n in re.findall(r'plaza_tasks_broken_total\{task="([^"]+)"\} ([\d.]+)', text)}

    wait_until(lambda: broken()["door 1"] + broken()["door 2"] > 2, plaza.log)
    assert '"event": "task broken"' in plaza.log()
    assert f"{name}@users.test" not in plaza.log()
    plaza.sql("DELETE FROM signups WHERE username = %s", name)
    assert plaza.client(f"{name}h").me().username == f"{name}h"
    assert broken()["postman"] == broken()["gate"] == 0
