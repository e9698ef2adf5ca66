"""Lists at sixty thousand posts: what Postgres reads for a page does not depend on how many there are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.errors import Diagnostic
from psycopg.rows import dict_row

from resilience.plaza import likes, moderation, notifications, posts, search
from resilience.plaza.db import PLANNING, Connection
from resilience.plaza.keys import Keys
from resilience.plaza.paging import Page
from resilience.plaza.store import Store
from tests.plaza.harness import Postgres, Site

POSTS, MOST = 60_000, 6_000
BIG = {"statuses", "favourites", "notifications", "reports", "search_posts"}


class Explained(Connection):
    """Does statements as plaza does once it has done them often, and keeps the plans that Postgres really had."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Do it, prepared."""
        return await super().execute(query, params, prepare=True)

    async def explain(self) -> None:
        """From now on each plan is told."""
        self.add_notice_handler(_keep_plan)
        await super().execute(
            PLANNING + "; LOAD 'auto_explain'; SET auto_explain.log_analyze = on; SET auto_explain.log_format = json; "
            "SET auto_explain.log_min_duration = 0; SET client_min_messages = log"
        )


def _keep_plan(told: Diagnostic) -> None:
    _, found, plan = (told.message_primary or "").partition("plan:")
    if found:
        PLANS.append(json.loads(plan)["Plan"])


PLANS: list[dict[str, Any]] = []


@pytest.fixture(scope="module")
def full(postgres: Postgres, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Many posts of few people, most of whom follow many."""
    folder = tmp_path_factory.mktemp("full")
    texts: Path = folder / "texts"
    texts.write_text("\n%\n".join(f"word{n % 150} of post {n}" for n in range(300)))
    site = Site(folder, postgres, postgres.new_database(template))
    site.run("bulk-load", "--users", "300", "--posts", str(POSTS), "--texts", str(texts), within_s=600)
    site.sql(
        """INSERT INTO favourites (id, account_id, status_id)
        SELECT row_number() OVER (), (SELECT min(id) FROM accounts), id FROM statuses"""
    )
    site.sql(
        """INSERT INTO notifications (id, account_id, kind, from_account_id, status_id)
        SELECT s.id, s.account_id, 'favourite', (SELECT min(id) FROM accounts), s.id FROM statuses s"""
    )
    site.sql(
        """INSERT INTO reports (id, target_account_id, status_ids, due_at)
        SELECT id, account_id, ARRAY[id], CASE WHEN mod(id, 7) = 0 THEN created_at END FROM statuses"""
    )
    site.sql("VACUUM ANALYZE")  # autovacuum may have come by or not, and plans differ by that
    yield site
    site.end()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def rows_read(plan: dict[str, Any]) -> float:
    """How many rows the scans of a plan touched."""
    touched = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    total: float = sum(
        sum(float(node.get(name, 0)) for name in touched) * node["Actual Loops"]
        for node in nodes(plan)
        if "Scan" in node["Node Type"]
    )
    return total


@pytest.mark.parametrize("where", ["newest", "middle", "upwards"])
def test_a_page_reads_about_a_page(full: Site, where: str) -> None:
    """Public, home, profile, thread, search, likes, notifications, queue: no big table is read through."""
    [(middle,)] = full.sql("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id) FROM statuses")
    [(me,)] = full.sql("SELECT min(id) FROM accounts")
    page = {"newest": Page(), "middle": Page(max_id=middle), "upwards": Page(min_id=middle)}[where]

    async def read() -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        async with await Explained.connect(full.url, autocommit=True, row_factory=dict_row) as conn:
            await conn.explain()
            conn.keys = Keys(Store(full.folder / "media", full.folder / "outbox"))
            for name, work in {
                "public": posts.public(conn, page, me),
                "guest": posts.public(conn, page, None),
                "home": posts.home(conn, me, page),
                "profile": posts.of_account(conn, me, None, page),
                "thread": posts.by_id(conn, middle, me),
                "search": search.find_posts(conn, "word7", me, page),
                "people": search.find_people(conn, "bulk0000", 20),
                "likes": likes.favourites(conn, me, Page(max_id=POSTS // 2) if where == "middle" else Page()),
                "notifications": notifications.of(conn, me, page),
                "queue": moderation.waiting(conn),
            }.items():
                PLANS.clear()
                assert await work, name
                assert PLANS, name
                found[name] = list(PLANS)
        return found

    for name, plans in asyncio.run(read()).items():
        for plan in plans:
            for node in nodes(plan):
                through = node["Node Type"] == "Seq Scan" and node.get("Relation Name") in BIG
                assert not through, (name, node)
                suspended = node.get("Alias") == "x" and node.get("Relation Name") == "accounts"
                assert not suspended or node["Node Type"] != "Seq Scan", (name, "reads every account")
            told = [
                (n["Node Type"], n.get("Relation Name"), n.get("Index Name"), n["Actual Rows"], n["Actual Loops"])
                for n in nodes(plan)
            ]
            assert rows_read(plan) < MOST, f"{name}: {rows_read(plan)} {told}"
