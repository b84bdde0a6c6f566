"""A rate: never more than its limit in any window, and nobody waits longer than that takes."""

from __future__ import annotations

from fractions import Fraction
from math import inf, nextafter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from windlass._core.flow import Rate
from windlass._core.meters import RateMeter

# Seconds that no sum of binary fractions ever meets, and the very small beside the very large.
awkward = st.one_of(
    st.sampled_from([0.1, 0.3, 1 / 3, 2 / 3, 0.7, 1.0, 1.1, 1e-9, 60.0, 3600.0]),
    st.floats(1e-6, 1e4, allow_nan=False),
)
clocks = st.sampled_from([0.0, 0.1, 5.55, 1e3, 123456.789, 1e9])
visits = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.just("then"), awkward), st.integers(1, 4)), max_size=40
)


@st.composite
def rates(draw, *, burst=False):
    limit = draw(st.integers(1, 5))
    return Rate(limit, draw(awkward), draw(st.integers(1, limit)) if burst else None)


def let_through(rate: Rate, now: float, visits) -> list[tuple[float, int]]:
    """Who came when, and was let through; "then": just when the meter says."""
    meter, starts, told = RateMeter(rate), [], now
    for pause, weight in visits:
        now = max(now, told) if pause == "then" else now + pause
        when = meter.next(weight, now)
        if when <= now:
            meter.spend(weight, now)
            starts.append((now, weight))
        elif when < inf:
            told = when
    return starts


def most_in_a_window(starts, per: float) -> int:
    """The greatest weight in any window that is open at its end, without any rounding."""
    exact = [(Fraction(when), weight) for when, weight in starts]
    return max(
        (
            sum(weight for when, weight in exact if first <= when < first + Fraction(per))
            for first, _ in exact
        ),
        default=0,
    )


@given(rates(), clocks, visits)
@example(Rate(1, 0.7), 0.1, [(0.0, 1), ("then", 1), ("then", 1), ("then", 1)])
def test_never_more_than_the_limit_in_any_window(rate, now, visits):
    assert most_in_a_window(let_through(rate, now, visits), rate.per) <= rate.limit


@given(rates(burst=True), clocks, visits)
def test_with_a_burst_as_well(rate, now, visits):
    starts = let_through(rate, now, visits)
    assert most_in_a_window(starts, rate.per) <= rate.limit
    exact = [(Fraction(when), weight) for when, weight in starts]
    for number, (first, _) in enumerate(exact):
        passed = 0
        for when, weight in exact[number:]:
            passed += weight
            # What rounding takes off a time as the clock tells it, many times over.
            spread = (when - first) * rate.limit / Fraction(rate.per)
            slack = Fraction(max(1.0, float(when))) * rate.limit / Fraction(rate.per) / 10**12
            assert passed <= rate.burst + spread + slack


@given(rates(), clocks, visits, st.integers(1, 5))
def test_one_may_go_at_the_very_moment_that_there_is_room_again(rate, now, visits, weight):
    meter, starts = RateMeter(rate), []
    for pause, other in visits:
        now += 0.0 if pause == "then" else pause
        if meter.next(other, now) <= now:
            meter.spend(other, now)
            starts.append((now, other))
    when = meter.next(weight, now)
    if weight > rate.limit:
        assert when == inf
        return
    assert meter.next(weight, max(when, now)) <= max(when, now)
    assert most_in_a_window([*starts, (max(when, now), weight)], rate.per) <= rate.limit
    if when > now:
        sooner = nextafter(when, -inf)
        assert most_in_a_window([*starts, (sooner, weight)], rate.per) > rate.limit


def test_starts_are_spread_where_there_is_a_burst():
    meter = RateMeter(Rate(4, per=2.0, burst=2))
    times, now = [], 100.0
    for _ in range(6):
        now = max(now, meter.next(1, now))
        meter.spend(1, now)
        times.append(now - 100.0)
    assert times == [0.0, 0.0, 0.5, 1.0, 2.0, 2.0]  # never five within two seconds


def test_what_is_heavier_than_the_limit_or_the_burst_never_passes():
    assert RateMeter(Rate(3, per=1.0)).next(4, 0.0) == inf
    assert RateMeter(Rate(3, per=1.0, burst=2)).next(3, 0.0) == inf
    assert (Rate(3, 1.0).heaviest, Rate(3, 1.0, burst=2).heaviest) == (3, 2)


def test_a_rate_reads_well():
    assert str(Rate(20, per=1.0)) == "20 per 1 s"
    assert str(Rate(3, per=0.5)) == "3 per 0.5 s"


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"limit": 0}, ValueError, "limit must be at least 1, not 0"),
        ({"limit": 1.5}, TypeError, "limit is a whole number"),
        ({"per": 0}, ValueError, "per must be more than zero seconds, not 0$"),
        ({"burst": 0}, ValueError, "burst must be at least 1"),
        ({"burst": 6}, ValueError, "burst must be at most the limit, which is 5, not 6"),
    ],
)
def test_a_rate_refuses_nonsense(options, error, says):
    with pytest.raises(error, match=says):
        Rate(**{"limit": 5, "per": 1.0, **options})
