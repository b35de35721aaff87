"""Every parser of foreign text against what hypothesis makes of it: some seconds here, a minute by `make fuzz`."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.harness import LONGEST, Target, TooSlow, texts
from tests.fuzz.targets import TARGETS

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
LONG = "FUZZ_EXAMPLES" in os.environ


@pytest.mark.parametrize("name", TARGETS)
def test_no_text_raises_or_takes_long(name: str) -> None:
    target = TARGETS[name]
    for whole in target.seeds:
        target.run(whole)  # a seed that is refused would make everything behind it unreachable

    # The same examples every time, in CI too: what they have never seen, `make fuzz` looks for at a desk.
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=not LONG or "CI" in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        target.try_on(data.draw(texts(target)))

    fuzz()


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(r"([^\W\d_]+)(?:_\w+)*_\d+", "a" + "_" * 40 + "!"), (r'"(\{.*\})"x', '"{' * (LONGEST // 2))],
    ids=["exponential", "quadratic"],
)
def test_the_harness_finds_what_it_is_there_for(pattern: str, text: str) -> None:
    slow = Target("slow", re.compile(pattern, re.DOTALL).search, [], [])
    with pytest.raises(TooSlow):
        slow.try_on(text, seconds=0.5)  # another does it in no time
