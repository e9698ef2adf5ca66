"""The application: routes, middleware, and what starts and stops with the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psycopg
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from resilience.plaza import api, web
from resilience.plaza.admission import Admission
from resilience.plaza.answers import HANDLERS
from resilience.plaza.db import Database, PoolFull, one
from resilience.plaza.door import Door
from resilience.plaza.endpoints import Endpoints
from resilience.plaza.erasure import Eraser
from resilience.plaza.gate import Gate
from resilience.plaza.holds import Holds
from resilience.plaza.keys import Keys
from resilience.plaza.lanes import Known
from resilience.plaza.ledger import Ledger
from resilience.plaza.locksmith import Locksmith
from resilience.plaza.mail import Mailer, providers
from resilience.plaza.metrics import Watch, Watched, metrics
from resilience.plaza.middleware import BodyLimit, Gatekeeper, OneSlash, OpenToApps, ReadOnly, SecurityHeaders
from resilience.plaza.passwords import Passwords
from resilience.plaza.persons import Stock
from resilience.plaza.pictures import Darkroom
from resilience.plaza.postman import Postman
from resilience.plaza.push import Pusher
from resilience.plaza.ratelimit import Limits
from resilience.plaza.sealer import Sealer
from resilience.plaza.secondfactor import SecondFactor
from resilience.plaza.settings import Settings
from resilience.plaza.state import Plaza, plaza_of
from resilience.plaza.store import Store
from resilience.plaza.sweep import sweep
from resilience.plaza.tasks import Job, Tasks
from resilience.plaza.throttle import Throttle
from resilience.plaza.words import Filler

DOORS = 2
"""While one batch's commit waits for other vendors, the next one's passwords are hashed."""
STATIC = Path(__file__).parent / "static"


def build(settings: Settings) -> Starlette:
    """Plaza, ready to be served."""
    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            *api.ROUTES,
            *web.ROUTES,
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(Watched),
            Middleware(SecurityHeaders, secure=settings.secure),
            Middleware(OpenToApps),
            Middleware(BodyLimit),
            Middleware(Gatekeeper),
            Middleware(Admission),
            Middleware(OneSlash),
            Middleware(Throttle, limit=settings.api_limit, limits=settings.limits),
            Middleware(ReadOnly),
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.state.plaza = assemble(settings)
    app.state.watch = Watch(app.state.plaza)
    return app


def assemble(settings: Settings) -> Plaza:
    """Everything a running plaza is made of."""
    store = Store(settings.media_dir, settings.outbox_dir)
    ledger = Ledger.of(settings)
    keys, gate = Keys(store), Gate()
    db = Database(settings.database_url, keys, settings.ledger_wait_s)
    passwords = Passwords(settings.argon2)
    mailer = Mailer(providers(settings.mail), settings.mail_from or f"plaza@{settings.domain}")
    return Plaza(
        settings=settings,
        db=db,
        passwords=passwords,
        darkroom=Darkroom(),
        store=store,
        keys=keys,
        stock=Stock(db, gate, keys, settings.held_dir),
        filler=Filler(db, gate, keys),
        sealer=Sealer(db, gate),
        ledger=ledger,
        eraser=Eraser(settings.database_url, ledger, store),
        holds=Holds(settings.hold_recipient, store, settings.public_url),
        second=SecondFactor(ledger.key_for("second factor")),
        gate=gate,
        limits=Limits(),
        known=Known(),
        door=Door(db, passwords, gate, settings.signups_key, settings.sign_ups_mark, confirms=mailer.is_on),
        mailer=mailer,
        pusher=Pusher(db, gate, settings.vapid_key, settings.public_url, settings.push_trust),
        endpoints=Endpoints(settings.endpoints, settings.endpoints_key),
        tasks=Tasks(),
    )


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Connect, replay the ledger, sweep now and then; let go of everything at the end."""
    plaza: Plaza = app.state.plaza
    await plaza.db.open()
    for name, job in {**_work(plaza), **(_senders(plaza) if plaza.settings.sends else {})}.items():
        plaza.tasks.start(name, job)
    try:
        yield
    finally:
        await plaza.tasks.end()
        await plaza.db.close()
        plaza.passwords.close()
        plaza.darkroom.close()


def _work(plaza: Plaza) -> Mapping[str, Job]:
    """Whatever runs beside requests and stays here."""
    return {
        "gate": partial(plaza.gate.keep, plaza.eraser),
        "sweep": partial(sweep, plaza),
        "stock": plaza.stock.keep,
        "locksmith": Locksmith(plaza).keep,
        "sealer": plaza.sealer.keep,
        "filler": plaza.filler.keep,
        **{f"door {number}": plaza.door.keep for number in range(1, DOORS + 1)},
    }


def _senders(plaza: Plaza) -> Mapping[str, Job]:
    """Whatever reaches people outside."""
    postman = Postman(plaza.db, plaza.gate, plaza.mailer, plaza.settings.public_url)
    return {"pusher": plaza.pusher.keep, "postman": postman.keep}


async def healthz(request: Request) -> Response:
    """Whether the process answers."""
    return JSONResponse({"ok": True})


async def readyz(request: Request) -> Response:
    """Whether people may come in: the database is there and the ledger is replayed to its head."""
    plaza = plaza_of(request)
    try:
        async with plaza.db.read(within_s=2) as conn:
            row = await one(conn, "SELECT seq FROM ledger_position")
    except psycopg.Error as error:
        what = "Too busy to look" if isinstance(error, PoolFull) else "The database is away"
        body = {"ready": False, "why": f"{what}: {str(error).strip()}"}
        return JSONResponse(body, 503)
    position = int(row["seq"]) if row else 0
    why = plaza.gate.why_closed
    if why is None and plaza.ledger.has(position + 1):
        why = f"Ledger entry {position + 1} has not been applied"
        plaza.gate.close(why)
    body = {"ready": why is None, "ledger_position": position}
    return JSONResponse(body if why is None else {**body, "why": why}, 200 if why is None else 503)
