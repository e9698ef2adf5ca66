"""Journals nobody would write, for tests that nothing may fail on them."""

from __future__ import annotations

from hypothesis import strategies as st

from resilience.model import Event
from tests.journals import healthy

HEALTHY = healthy()
KINDS = sorted({e.kind for e in HEALTHY})
FIELDS = sorted({key for e in healthy() for key in e.data} | {"at"})

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("aw-0", max_size=3)
    | st.sampled_from(["name", "acorn", "birch"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=4,
)
strange = st.builds(
    Event, st.floats(), st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)
)
kept = st.integers(0, len(HEALTHY) - 1).map(HEALTHY.__getitem__)


journals = st.lists(strange | kept, max_size=25)
