"""Patience with a server: what Retry-After asks for, and how long is waited without it."""

from __future__ import annotations

import pytest

from kie_hvqa.readers.server.exchange import RequestError, Retrying, retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2.5", 2.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value, seconds):
    assert retry_after({"retry-after": value}, now=lambda: 60.0) == seconds


def test_delays_grow_with_jitter_up_to_a_minute():
    retrying = Retrying(attempts=20, deadline=1.0)
    error = RequestError("x", again=True)
    for attempt in range(1, 20):
        delays = [retrying._delay(attempt, error) for _ in range(200)]
        assert min(delays) >= 0 and max(delays) <= min(60.0, 2.0 ** (attempt - 1))
        assert max(delays) > 0.8 * min(60.0, 2.0 ** (attempt - 1)), "the whole span is used"
    assert retrying._delay(1, RequestError("x", again=True, status=503, pause=7.0)) >= 7.0
