"""The users' process: one line asked, one line answered."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.adapters.plaza import Users


class Answers:
    """A process that answers each request with what was asked; whoever waits for the first answer is interrupted."""

    def __init__(self) -> None:
        self.stdin, self.stdout, self.read = io.StringIO(), self, 0

    def poll(self) -> None:
        """It runs."""

    def readline(self) -> str:
        """The next answer."""
        if not self.read:
            self.read = 1
            raise KeyboardInterrupt
        asked = [json.loads(line)["do"] for line in self.stdin.getvalue().splitlines()]
        self.read += 1
        return json.dumps({"writes": [{"id": asked[self.read - 2]}], "requests": []})


def test_an_answer_that_nobody_waited_for_is_taken_for_no_other() -> None:
    """A drill that is interrupted asks for the users' end, and is not told of what it asked before."""
    started: Any = SimpleNamespace(process=Answers())
    users = Users("plaza.test", lambda *_, **__: started.process, Path("texts"), Path("pictures"))
    with pytest.raises(KeyboardInterrupt):
        users.recent(10)
    assert users.end() == ([{"id": "end"}], [])
