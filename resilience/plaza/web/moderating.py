"""Moderating: the queue, deciding, letters, appeals, numbers; and the ledger."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.plaza import appeals, decisions, moderation, notices, posts
from resilience.plaza.decisions import CLOSES, TAKEDOWN, Choice
from resilience.plaza.errors import NotSafeElsewhere, Refused
from resilience.plaza.ids import parse_id
from resilience.plaza.rules import NONE, RULES
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import anybody, checked_form, field, moderator, see

AT_ONCE = 5


async def queue(request: Request) -> Response:
    """Open reports in the order to look at them, and the newest ledger entries."""
    return await _queue(request, {})


async def _queue(request: Request, values: dict[str, object], status: int = 200) -> Response:
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await moderator(request, conn)
        reports = await moderation.waiting(conn)
        entries = await moderation.recent_entries(conn)
    # What I claimed comes first, then what is free; what others look at is last.
    reports.sort(key=lambda one: 0 if one.assigned and one.assigned.id == me.id else 2 if one.assigned else 1)
    decided = [{**entry, "held": plaza.ledger.is_held(entry["seq"])} for entry in entries]
    known = {"reports": reports, "decided": decided, "rules": RULES, "can_hold": plaza.holds.possible, "problem": ""}
    return page(request, "queue.html", {**known, **values}, status, who=who)


async def claim(request: Request) -> Response:
    """Take the next reports that nobody looks at."""
    async with plaza_of(request).db.write() as conn:
        who, me = await moderator(request, conn)
        await checked_form(request, who)
        await moderation.claim_next(conn, me.id, AT_ONCE)
    return see("/moderation")


async def give_back(request: Request) -> Response:
    """Let others look at a report."""
    async with plaza_of(request).db.write() as conn:
        who, _ = await moderator(request, conn)
        await checked_form(request, who)
        await moderation.give_back(conn, parse_id(request.path_params["id"]))
    return see("/moderation")


async def decide(request: Request) -> Response:
    """Keep, hide, take down or suspend."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await moderator(request, conn)
    form = await checked_form(request, who)
    action = field(form, "action")
    rule = NONE if action == decisions.KEEP else field(form, "rule")
    choice = Choice(action, rule, field(form, "reason").strip(), hold=bool(field(form, "hold")))
    try:
        await decisions.decide(plaza, parse_id(request.path_params["id"]), choice, me.id)
    except NotSafeElsewhere as error:
        text = f"{error}. It is in force here already; the table below says when it is held elsewhere."
        return await _queue(request, {"problem": text}, 503)
    except Refused as error:
        if error.status == 404:
            raise
        return await _queue(request, {"problem": error.message.removeprefix("Validation failed: ")}, error.status)
    return see("/moderation", CLOSES[choice.action])


async def ask(request: Request) -> Response:
    """The form to take a post down that nobody reported, and doing it."""
    plaza = plaza_of(request)
    post_id = parse_id(request.path_params["id"])
    async with plaza.db.read() as conn:
        who, me = await moderator(request, conn)
        found = await posts.everything(conn, [post_id])
    values = {"post": found[0] if found else None, "post_id": post_id, "problem": "", "reason": ""}
    values["can_hold"] = plaza.holds.possible
    if request.method != "POST":
        return page(request, "takedown.html", values, 200 if found else 404, who=who)
    form = await checked_form(request, who)
    reason = field(form, "reason").strip()
    try:
        await decisions.take_down_unreported(plaza, post_id, reason, me.id, hold=bool(field(form, "hold")))
    except NotSafeElsewhere as error:
        text = f"{error}. It is hidden here already; press the button again to see whether it is safe."
        values |= {"problem": text, "post": None, "reason": reason}
        return page(request, "takedown.html", values, 503, who=who)
    except Refused as error:
        if error.status == 404:
            raise
        values |= {"problem": error.message.removeprefix("Validation failed: "), "reason": reason}
        return page(request, "takedown.html", values, error.status, who=who)
    return see("/moderation", CLOSES[TAKEDOWN])


async def letters(request: Request) -> Response:
    """Letters of vendors, and how much of each is still open."""
    async with plaza_of(request).db.read() as conn:
        who, _ = await moderator(request, conn)
        found = await notices.everyone(conn)
    return page(request, "letters.html", {"letters": found}, who=who)


async def letter(request: Request) -> Response:
    """One letter, and what became of every post that it names."""
    async with plaza_of(request).db.read() as conn:
        who, _ = await moderator(request, conn)
        found = await notices.show(conn, parse_id(request.path_params["id"]))
    return page(request, "letter.html", {"letter": found}, who=who)


async def appealed(request: Request) -> Response:
    """Appeals that wait, and deciding one."""
    plaza = plaza_of(request)
    problem, status = "", 200
    async with plaza.db.read() as conn:
        who, me = await moderator(request, conn)
    if request.method == "POST":
        form = await checked_form(request, who)
        appeal_id = parse_id(request.path_params["id"])
        try:
            await appeals.decide(plaza, appeal_id, field(form, "outcome"), field(form, "answer"), me.id)
        except Refused as error:
            problem, status = error.message.removeprefix("Validation failed: "), error.status
        else:
            return see("/moderation/appeals", "decided")
    async with plaza.db.read() as conn:
        found = await appeals.waiting(conn)
    return page(request, "appeals.html", {"appeals": found, "problem": problem}, status, who=who)


async def numbers(request: Request) -> Response:
    """Decisions by day and rule."""
    async with plaza_of(request).db.read() as conn:
        who, _ = await moderator(request, conn)
        found = await decisions.statistics(conn)
    return page(request, "numbers.html", {"rows": found, "rules": RULES}, who=who)


async def about_me(request: Request) -> Response:
    """What was decided about me, and appealing; the one page for somebody who is suspended."""
    problem, status = "", 200
    async with plaza_of(request).db.write() as conn:
        who, me = await anybody(request, conn)
        if request.method == "POST":
            form = await checked_form(request, who)
            try:
                await appeals.make(conn, me.id, parse_id(request.path_params["id"]), field(form, "text"))
            except Refused as error:
                problem, status = error.message.removeprefix("Validation failed: "), error.status
            else:
                return see("/decisions", "appealed")
        found = await decisions.about(conn, me.id)
    values = {"decisions": found, "problem": problem, "rules": {rule["id"]: rule["text"] for rule in RULES}}
    return page(request, "decisions.html", values, status, who=who)


ROUTES = [
    Route("/moderation", queue),
    Route("/moderation/claim", claim, methods=["POST"]),
    Route("/moderation/reports/{id}/decide", decide, methods=["POST"]),
    Route("/moderation/reports/{id}/give-back", give_back, methods=["POST"]),
    Route("/moderation/posts/{id}/takedown", ask, methods=["GET", "POST"]),
    Route("/moderation/letters", letters),
    Route("/moderation/letters/{id}", letter),
    Route("/moderation/appeals", appealed),
    Route("/moderation/appeals/{id}", appealed, methods=["POST"]),
    Route("/moderation/numbers", numbers),
    Route("/decisions", about_me),
    Route("/decisions/{id}/appeal", about_me, methods=["POST"]),
]
