"""A person's browser without JavaScript, as far as forms and cookies go."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import unescape

import httpx

from tests.plaza.harness import PASSWORD, Site


def guest(plaza: Site) -> httpx.Client:
    """A browser that nobody is logged in with."""
    return httpx.Client(base_url=plaza.base, follow_redirects=False, timeout=120)


def browser(plaza: Site, name: str) -> httpx.Client:
    """A person's browser, logged in."""
    client = guest(plaza)
    answer = send(client, "/login", {"username": name, "password": PASSWORD, "next": "/"})
    assert answer.status_code == 303, answer.text
    return client


def form_token(client: httpx.Client, path: str) -> str:
    """The CSRF token in a page's form."""
    return fields_of(client.get(path).text)["token"]


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of a page."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in found}


def send(client: httpx.Client, path: str, form: dict[str, str], page: str | None = None) -> httpx.Response:
    """Open a form's page, fill it in and send it."""
    return client.post(path, data={**form, "token": form_token(client, page or path)})


AT_ONCE = 20
"""Fewer than are let in at once, so that all are looked at together."""


def answers_until_refused(guess: Callable[[int], int]) -> Counter[int]:
    """The answers to many guesses at once, and then to one after the other until one is refused with 429."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = Counter(pool.map(guess, range(AT_ONCE)))
    number, last = AT_ONCE, 0
    while last != 429:
        last = guess(number)
        answers[last] += 1
        number += 1
    return answers
