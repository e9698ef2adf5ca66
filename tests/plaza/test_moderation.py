"""Moderation: several moderators, letters with a deadline, decisions that are told, appeals, evidence."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from mastodon import Mastodon, MastodonAPIError, MastodonIllegalArgumentError, MastodonNotFoundError

from tests.plaza.harness import ROOT, Site, picture, sha_of, wait_until
from tests.plaza.pages import browser, send

Sites = Callable[[], Site]
DUE = "2031-05-01T12:00:00+00:00"


def decide(site: Site, moderator: Mastodon, report: Any, action: str, **more: str) -> httpx.Response:
    """Decide on a report by the API."""
    form = {"action": action, "rule": "1", "reason": "not kind", **more}
    with site.http(moderator) as http:
        return http.post(f"/api/v1/admin/reports/{report.id}/decide", data=form)


def reported(site: Site, name: str) -> tuple[Mastodon, Mastodon, Any, Any]:
    """Author, moderator, a post of the author and the report about it."""
    author, moderator = site.client(name), site.moderator(f"{name}m")
    post = author.status_post("something unkind")
    made = moderator.report(author.me(), status_ids=[post], category="violation", rule_ids=["1"])
    assert made.rule_ids == ["1"]
    [report] = [one for one in moderator.admin_reports() if one.statuses and one.statuses[0].id == post.id]
    return author, moderator, post, report


def add_notice(site: Site, posts: list[str], reference: str = "A-1") -> dict[str, Any]:
    """Add a letter whose posts come on stdin."""
    command = [sys.executable, "-m", "resilience.plaza", "add-notice", "--vendor", "v1", "--reference", reference]
    done = subprocess.run(
        [*command, "--due", DUE, "--posts", "-"],
        input="\n".join(posts), check=True, capture_output=True, text=True, env=site.env, cwd=ROOT, timeout=120,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_letter_goes_straight_into_the_queue(plaza: Site, name: str) -> None:
    """Addresses and ids, those that exist or not, once each; the queue begins with what is due."""
    author, moderator = plaza.client(name), plaza.moderator(f"{name}m")
    posts = [author.status_post(f"named {n}") for n in range(5)]
    moderator.report(author.me(), status_ids=[posts[0]])
    named = [posts[0].url, str(posts[1].id), f"{posts[2].url}?x=1", posts[0].url, "123", "no such thing"]
    notice = add_notice(plaza, named, name)
    assert (notice["named"], notice["open"], notice["unknown"], notice["again"]) == (5, 3, 2, False)
    again = add_notice(plaza, named, name)
    assert (again["notice"], again["again"]) == (notice["notice"], True)
    complaint = plaza.run(
        "add-notice", "--vendor", "v1", "--reference", name, "--due", DUE, str(posts[4].id), fails=True
    )
    assert "a reference of its own" in complaint["said"]
    with plaza.http(moderator) as http:
        claimed = http.post("/api/v1/admin/reports/claim", data={"count": 3}).json()
    assert [one["due_at"] for one in claimed] == ["2031-05-01T12:00:00.000Z"] * 3
    for report, action in zip(claimed, ("takedown", "hide", "keep"), strict=True):
        form = {"action": action, "rule": "2", "reason": "as the letter says"}
        with plaza.http(moderator) as http:
            assert http.post(f"/api/v1/admin/reports/{report['id']}/decide", data=form).status_code == 200
    shown = plaza.run("show-notice", notice["notice"])
    assert [shown[state] for state in ("open", "kept", "hidden", "removed", "unknown")] == [0, 1, 1, 1, 2]
    assert shown["posts"][0]["rule"] == "2"
    assert notice["notice"] in [one["notice"] for one in plaza.run("show-notice")["notices"]]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["--due", "tomorrow", "1"], "is no moment"), (["--due", "2031-01-01", "1"], "no time zone"),
     (["--due", DUE], "names no post")],
)  # fmt: skip
def test_letters_that_say_too_little_are_refused(plaza: Site, arguments: list[str], why: str) -> None:
    """A day, a time zone and at least one post."""
    said = plaza.run("add-notice", "--vendor", "v", "--reference", "r", *arguments, fails=True)["said"]
    assert why in said


def test_moderators_do_not_step_on_each_other(plaza: Site, name: str) -> None:
    """Twelve reports, three moderators who claim at once: everybody gets others; a claimed one is refused."""
    author = plaza.client(name)
    ids = {author.status_post(f"n {n}").id for n in range(12)}
    moderators = [plaza.moderator(f"{name}m{n}") for n in range(3)]
    for post in ids:
        author.report(author.me(), status_ids=[post])

    def claim(moderator: Mastodon) -> list[str]:
        with plaza.http(moderator) as http:
            return [one["id"] for one in http.post("/api/v1/admin/reports/claim", data={"count": 4}).json()]

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(claim, moderators))
    claimed = [one for share in shares for one in share]
    assert len(claimed) == len(set(claimed)) == 12
    with plaza.http(moderators[0]) as http:
        taken = http.post(f"/api/v1/admin/reports/{shares[1][0]}/assign_to_self")
        assert (taken.status_code, f"{name}m1" in taken.json()["error"]) == (409, True)
        form = {"action": "hide", "rule": "1", "reason": "x"}
        assert http.post(f"/api/v1/admin/reports/{shares[1][0]}/decide", data=form).status_code == 409
    moderators[1].admin_report_unassign(shares[1][0])
    with plaza.http(moderators[0]) as http:
        assert http.post(f"/api/v1/admin/reports/{shares[1][0]}/assign_to_self").status_code == 200


def test_two_decisions_at_once_are_one(plaza: Site, name: str) -> None:
    """The same report decided by two moderators in one moment: one of them is told who was first."""
    author, first, post, report = reported(plaza, name)
    second = plaza.moderator(f"{name}n")
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(decide, plaza, who, report, "takedown") for who in (first, second)]
    codes = sorted(job.result().status_code for job in jobs)
    assert codes == [200, 409]
    assert plaza.sql("SELECT count(*) FROM decisions WHERE status_id = %s", int(post.id)) == [(1,)]
    winner = first if jobs[0].result().status_code == 200 else second
    assert decide(plaza, winner, report, "takedown").status_code == 200  # sent again: the same answer
    with pytest.raises(MastodonNotFoundError):
        author.status(post)


def test_a_form_sent_twice_at_once_decides_once(plaza: Site, name: str) -> None:
    """The same moderator's double click: the same answer twice, one entry in the ledger, one decision to appeal against."""
    for action in ("hide", "keep", "takedown"):
        _, moderator, post, report = reported(plaza, f"{name}{action[0]}")
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(decide, plaza, moderator, report, action, rule="1") for _ in range(2)]
        assert [job.result().status_code for job in jobs] == [200, 200], action
        of_it = "SELECT count(*) FROM {} WHERE status_id = %s"
        assert plaza.sql(of_it.format("decisions"), int(post.id)) == [(1,)], action
        assert plaza.sql(of_it.format("ledger"), int(post.id)) == [(0 if action == "keep" else 1,)], action


def test_what_was_hidden_can_be_taken_down(plaza: Site, name: str) -> None:
    """By a moderator's page or by a report, whatever was decided about the post before: it is gone, and the ledger says so."""
    author, moderator, post, report = reported(plaza, name)
    assert decide(plaza, moderator, report, "hide").status_code == 200
    page = browser(plaza, f"{name}m")
    taken = send(page, f"/moderation/posts/{post.id}/takedown", {"reason": "worse than we thought"})
    assert (taken.status_code, page.get(f"/@{name}/{post.id}").status_code) == (303, 404)
    second = author.status_post("unkind too")
    moderator.report(author.me(), status_ids=[second])
    [report] = [one for one in moderator.admin_reports() if one.statuses[0].id == second.id]
    assert decide(plaza, moderator, report, "hide").status_code == 200
    moderator.admin_report_reopen(report)
    assert decide(plaza, moderator, report, "takedown").status_code == 200
    for gone in (post, second):
        with pytest.raises(MastodonNotFoundError):
            author.status(gone)
        entries = plaza.sql("SELECT action, seq FROM ledger WHERE status_id = %s ORDER BY seq", int(gone.id))
        assert [action for action, _ in entries] == ["hide", "takedown"]
        assert entries == plaza.sql("SELECT action, seq FROM decisions WHERE status_id = %s ORDER BY seq", int(gone.id))


def test_hidden_is_for_everybody_but_the_author(plaza: Site, name: str) -> None:
    """Hidden: gone from lists and pages, its picture too; the author sees it; an appeal brings it back."""
    author, moderator = plaza.client(name), plaza.moderator(f"{name}m")
    media = author.media_post(picture(9), "image/jpeg")
    post = author.status_post("maybe unkind", media_ids=[media])
    moderator.report(author.me(), status_ids=[post])
    report = moderator.admin_reports(limit=1)[0]
    assert decide(plaza, moderator, report, "hide").status_code == 200
    reader = plaza.client(f"{name}r")
    reader.account_follow(author.me())
    with pytest.raises(MastodonNotFoundError):
        reader.status(post)
    for found in (reader.timeline_public(limit=40), reader.timeline_home(), reader.account_statuses(author.me())):
        assert post.id not in [one.id for one in found]
    assert author.status(post).id == post.id
    assert httpx.get(media.url).status_code == 404
    with plaza.http(author) as http:
        [decision] = http.get("/api/v1/decisions").json()
        assert (decision["action"], decision["rule"], decision["reason"]) == ("hide", "1", "not kind")
        appeal = {"text": "It was a joke"}
        assert http.post(f"/api/v1/decisions/{decision['id']}/appeal", data=appeal).status_code == 200
        assert http.post(f"/api/v1/decisions/{decision['id']}/appeal", data=appeal).status_code == 422
    other = plaza.moderator(f"{name}o")
    with plaza.http(moderator) as http:
        [waiting] = [one for one in http.get("/api/v1/admin/appeals").json() if one["account"] == name]
        answer = {"outcome": "overturned", "answer": "it was"}
        assert http.post(f"/api/v1/admin/appeals/{waiting['id']}/decide", data=answer).status_code == 403
    with plaza.http(other) as http:
        assert http.post(f"/api/v1/admin/appeals/{waiting['id']}/decide", data=answer).status_code == 200
    assert reader.status(post).id == post.id
    assert httpx.get(media.url).status_code == 200
    reader.report(author.me(), status_ids=[post])
    [again] = [one for one in moderator.admin_reports() if one.statuses and one.statuses[0].id == post.id]
    assert decide(plaza, moderator, again, "takedown").status_code == 200
    with pytest.raises(MastodonNotFoundError):
        author.status(post)


def test_an_appeal_waits_until_the_ledger_says_so(plaza: Site, name: str) -> None:
    """A ledger that fails decides nothing: the appeal is still offered, and decided again it is overturned for real."""
    author, moderator, post, report = reported(plaza, name)
    assert decide(plaza, moderator, report, "hide").status_code == 200
    with plaza.http(author) as http:
        [decision] = http.get("/api/v1/decisions").json()
        http.post(f"/api/v1/decisions/{decision['id']}/appeal", data={"text": "It was a joke"})
    answer = {"outcome": "overturned", "answer": "it was"}
    with plaza.http(plaza.moderator(f"{name}o")) as http:
        [appeal] = [one for one in http.get("/api/v1/admin/appeals").json() if one["account"] == name]
        path = f"/api/v1/admin/appeals/{appeal['id']}/decide"
        with plaza.failing_ledger(f"NEW.status_id = {post.id}"):
            assert http.post(path, data=answer).status_code == 503
            assert plaza.sql("SELECT outcome FROM appeals WHERE id = %s", int(appeal["id"])) == [(None,)]
        assert appeal["id"] in [one["id"] for one in http.get("/api/v1/admin/appeals").json()]
        for _ in range(2):
            assert http.post(path, data=answer).json()["outcome"] == "overturned"
    assert moderator.status(post).id == post.id
    assert plaza.sql("SELECT count(*) FROM ledger WHERE status_id = %s", int(post.id)) == [(2,)]


def test_a_suspended_person_can_do_nothing_but_appeal(plaza: Site, name: str) -> None:
    """Suspended: every token is worthless, nothing of theirs is seen; an unsuspension brings it back."""
    author, moderator, post, report = reported(plaza, name)
    account = author.me().id
    assert decide(plaza, moderator, report, "suspend").status_code == 200
    with pytest.raises(MastodonAPIError):
        author.status_post("still here")
    with pytest.raises(MastodonNotFoundError):
        moderator.status(post)
    with pytest.raises(MastodonIllegalArgumentError):
        plaza.app(["read"]).log_in(name, "correct horse battery", scopes=["read"])
    home = browser(plaza, name).get("/").text
    assert "Your account is suspended" in home
    assert "What is on your mind" not in home
    with plaza.http(moderator) as http:
        assert http.post(f"/api/v1/admin/accounts/{account}/unsuspend").json()["suspended"] is False
    assert moderator.status(post).id == post.id


def test_what_is_hidden_stays_hidden_on_an_older_database(sites: Sites) -> None:
    """A restored database that knows nothing of hide and suspend gets both from the ledger before it opens."""
    site = sites()
    site.start()
    author, moderator, post, report = reported(site, "writer")
    second = site.client("second").status_post("unkind too")
    site.stop()
    older = site.postgres.new_database(site.database)
    site.launch()
    wait_until(site.ready, site.log)
    assert decide(site, moderator, report, "hide").status_code == 200
    with site.http(moderator) as http:
        action = {"type": "suspend", "text": "not kind"}
        assert http.post(f"/api/v1/admin/accounts/{second.account.id}/action", data=action).status_code == 200
    site.stop()
    site.database = older
    site.launch()
    wait_until(site.ready, site.log)
    for gone in (post, second):
        assert httpx.get(f"{site.base}/api/v1/statuses/{gone.id}").status_code == 404
    assert site.run("facts")["takedowns"]["resurrected"] == []
    assert author.status(post).id == post.id


def test_statistics_count_by_day_and_rule(plaza: Site, name: str) -> None:
    """Decisions by day, rule and action."""
    _, moderator, _, report = reported(plaza, name)
    decide(plaza, moderator, report, "takedown", rule="3")
    with plaza.http(moderator) as http:
        rows = http.get("/api/v1/admin/statistics").json()
    [row] = [one for one in rows if one["rule"] == "3" and one["action"] == "takedown"]
    assert row["decisions"] >= 1


@pytest.mark.parametrize(
    ("form", "sentence"),
    [({"action": "burn"}, "Action must be"), ({"rule": "9"}, "Rule must be"), ({"reason": " "}, "Reason can't"),
     ({"rule": "none"}, "can't be 'none'"), ({"hold": "1"}, "no key for legal holds")],
)  # fmt: skip
def test_decisions_that_cannot_be(plaza: Site, name: str, form: dict[str, str], sentence: str) -> None:
    """A decision needs an action, a rule and a reason; a refused one changes nothing."""
    author, moderator, post, report = reported(plaza, name)
    answer = decide(plaza, moderator, report, **{"action": "takedown", **form})
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]
    assert author.status(post).id == post.id


def test_a_report_without_posts_takes_nothing_down(plaza: Site, name: str) -> None:
    """Nobody is told that a post was removed where none is: the report can be kept, or its author suspended."""
    author, moderator = plaza.client(name), plaza.moderator(f"{name}m")
    report = moderator.report(author.me(), comment=name)
    for action in ("takedown", "hide"):
        answer = decide(plaza, moderator, report, action)
        assert (answer.status_code, "no post that is here" in answer.json()["error"]) == (422, True)
    assert decide(plaza, moderator, report, "suspend").status_code == 200


def test_only_moderators_may(plaza: Site, name: str) -> None:
    """Everybody else is refused at every one of the moderators' addresses."""
    with plaza.http(plaza.client(name)) as http:
        for path in (
            "reports/1/decide",
            "reports/claim",
            "accounts/1/action",
            "accounts/1/unsuspend",
            "appeals/1/decide",
        ):
            assert http.post(f"/api/v1/admin/{path}", data={"action": "keep"}).status_code == 403, path
        for path in ("notices", "appeals", "statistics", "reports"):
            assert http.get(f"/api/v1/admin/{path}").status_code == 403, path


def test_moderators_decide_before_writes_reopen(plaza: Site, name: str) -> None:
    """Read-only: the public reads and can't write, is told why, and moderators decide."""
    author, moderator, post, report = reported(plaza, name)
    assert plaza.run("set-mode", "read-only", "--why", "We are moving.")["mode"] == "read-only"
    try:
        with plaza.http(author) as http:
            refused = http.post("/api/v1/statuses", data={"status": "x"})
            assert (refused.status_code, "We are moving." in refused.json()["error"]) == (503, True)
            assert http.get(f"/api/v1/statuses/{post.id}").status_code == 200
        assert decide(plaza, moderator, report, "takedown").status_code == 200
    finally:
        plaza.run("set-mode", "open")
    assert author.status_post("open again").id


def unreported_posts_can_be_held(site: Site, author: Mastodon, moderator: Mastodon, released: str) -> None:
    """Once that hold is released: the API, the page and the command seal a copy of what nobody reported, if asked."""
    assert site.run("release-hold", released)["released"] == 1
    by_api, by_page, by_command = (str(author.status_post(f"unreported {n}").id) for n in range(3))
    with site.http(moderator) as http:
        form = {"reason": "not kind", "hold": "true"}
        assert http.post(f"/api/v1/admin/statuses/{by_api}/takedown", data=form).status_code == 200
    page = browser(site, "judge")
    sent = send(page, f"/moderation/posts/{by_page}/takedown", {"reason": "not kind", "hold": "1"})
    assert sent.status_code == 303
    assert site.run("take-down", "--hold", "--reason", "12 O 34/26", by_command)["taken_down"] == 1
    assert [str(n) for (n,) in site.sql("SELECT status_id FROM hold.items ORDER BY id")] == [
        by_api,
        by_page,
        by_command,
    ]


def test_evidence_can_be_checked_without_us(sites: Sites, tmp_path: Path) -> None:
    """Taken down with a legal hold: the content is in no table that can be read, and in the evidence."""
    identity = pyrage.x25519.Identity.generate()
    site = sites()
    site.settings["HOLD_RECIPIENT"] = str(identity.to_public())
    site.start()
    author, moderator = site.client("writer"), site.moderator("judge")
    media = author.media_post(picture(3), "image/jpeg")
    bad, fine = author.status_post("forbidden words", media_ids=[media]), author.status_post("fine words")
    notice = add_notice(site, [bad.url, fine.url])
    [report] = [one for one in moderator.admin_reports() if one.statuses[0].id == bad.id]
    file = site.picture_file(site.sql("SELECT sha256 FROM media WHERE purpose = 'key'")[0][0])
    aside = file.rename(site.folder / "aside")
    refused = decide(site, moderator, report, "takedown", hold="true", rule="2")
    assert (refused.status_code, "key is not here" in refused.json()["error"]) == (503, True)
    unread = site.run("export-evidence", notice["notice"], "--to", str(tmp_path / "unread.zip"))
    assert unread["unreadable"] == sorted((str(bad.id), str(fine.id)))
    with zipfile.ZipFile(tmp_path / "unread.zip") as archive:
        told = json.loads(archive.read("evidence.json"))["posts"].values()
    assert [(one["unreadable"], one["text"]) for one in told] == [(True, None)] * 2
    aside.rename(file)
    assert decide(site, moderator, report, "takedown", hold="true", rule="2").status_code == 200
    assert not site.picture_file(sha_of(media.url)).exists()
    [(sealed,)] = site.sql("SELECT sealed FROM hold.items")
    assert b"forbidden words" not in bytes(sealed)
    closed = site.run("export-evidence", notice["notice"], "--to", str(tmp_path / "closed.zip"))
    assert (closed["posts"], closed["held"], closed["gone"], closed["unreadable"]) == (2, 1, [], [])
    (tmp_path / "hold.key").write_text(str(identity))
    site.run(
        "export-evidence", notice["notice"], "--to", str(tmp_path / "e.zip"), "--hold-key", str(tmp_path / "hold.key")
    )
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        manifest = json.loads(archive.read("manifest.json"))
        signature = bytes.fromhex(manifest.pop("signature"))
        signed = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(manifest["ledger_key"])).verify(signature, signed)
        for name, sha256 in manifest["files"].items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == sha256
        posts = json.loads(archive.read("evidence.json"))["posts"]
        assert f"pictures/{sha_of(media.url)}" in manifest["files"]
        assert "ledger/00000001.json" in manifest["files"]
    assert posts[str(bad.id)]["text"] == "forbidden words"
    assert posts[str(fine.id)]["from"] == "database"
    unreported_posts_can_be_held(site, author, moderator, released=str(bad.id))
