"""What tests of stacks share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stacks.vendors import settle


@pytest.fixture(scope="module", autouse=True)
def settled() -> Iterator[None]:
    """Nothing half awaited is left for whoever comes next."""
    yield
    settle()
