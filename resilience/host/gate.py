"""The gate's rules for Caddy: who is let through to the app, whatever app it is.

Marks in a folder say how far the site is open; Caddy looks for them at each request, so nothing is
reloaded when the stage changes. Without marks the site is closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resilience.model.stage import Stage

FOLDER = "/var/lib/resilience/gate"
MARKS: Mapping[Stage, str] = {Stage.READ_ONLY: "read", Stage.WRITES: "write", Stage.SIGN_UPS: "sign-up"}
PASS_HEADER = "X-Resilience-Pass"  # noqa: S105 - the header's name
PASS_VARIABLE = "RESILIENCE_GATE_PASS"  # noqa: S105 - the variable's name
RETRY_S = 15


def caddy_rules(ready_path: str, sign_up_paths: Sequence[str], folder: str = FOLDER) -> str:
    """A snippet for one site of a Caddyfile; what it refuses gets 503 and when to come back.

    A path of sign-ups is held with a slash behind it, too: apps may take both for one.
    """
    closed = _matcher("closed", f"not path {ready_path}", _unmarked(Stage.READ_ONLY, folder))
    reading = _matcher("reading", "not method GET HEAD OPTIONS", _unmarked(Stage.WRITES, folder))
    paths = " ".join(f"{path} {path}/" for path in sign_up_paths)
    joining = _matcher("joining", "method POST", f"path {paths}", _unmarked(Stage.SIGN_UPS, folder))
    answers = [
        _answer("closed", "We are moving to another home. Please come back in a moment."),
        _answer("reading", "You can read here already. Writing opens in a moment."),
        _answer("joining", "New accounts open in a moment. Everybody else can write already."),
    ]
    return "\n".join([closed, reading, joining, *answers])


def _unmarked(stage: Stage, folder: str) -> str:
    return f"not file {{\n\t\troot {folder}\n\t\ttry_files /{MARKS[stage]}\n\t}}"


def _matcher(name: str, *conditions: str) -> str:
    """All of these must hold, and whoever shows the pass goes through."""
    lines = [*conditions, f'not header {PASS_HEADER} "{{${PASS_VARIABLE}}}"']
    return f"@{name} {{\n" + "".join(f"\t{line}\n" for line in lines) + "}"


def _answer(matcher: str, said: str) -> str:
    return (
        f"header @{matcher} {{\n\tRetry-After {RETRY_S}\n\tCache-Control no-store\n}}\n"
        f'respond @{matcher} "{said}" 503\n'
    )
