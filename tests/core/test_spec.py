"""What may be asked of a task, and what is said to those who ask for something else."""

from __future__ import annotations

import math

import pytest

from windlass._core.policies import NO_RETRY, Retry
from windlass._core.spec import Spec


def spec(**options) -> Spec:
    return Spec("fetch", "async", **options)


def test_a_plain_spec_has_no_limits():
    plain = spec()
    assert plain.retry is NO_RETRY
    assert not plain.timed
    assert (plain.timeout, plain.total_timeout, plain.expires) == (None, None, None)


@pytest.mark.parametrize("limit", ["timeout", "total_timeout", "expires"])
def test_a_spec_knows_whether_it_has_a_limit_of_time(limit):
    assert spec(**{limit: 3}).timed


@pytest.mark.parametrize("limit", ["timeout", "total_timeout", "expires"])
@pytest.mark.parametrize("seconds", [0, 0.0, -1, math.nan, math.inf, -math.inf])
def test_a_limit_of_time_is_more_than_zero_and_finite(limit, seconds):
    with pytest.raises(ValueError, match=rf"^{limit} must be more than zero seconds, not .*None"):
        spec(**{limit: seconds})


@pytest.mark.parametrize("seconds", ["3", True, [3]])
def test_a_limit_of_time_is_a_number(seconds):
    with pytest.raises(TypeError, match=r"^timeout is a number of seconds, not "):
        spec(timeout=seconds)


def test_max_crashes_is_a_count():
    with pytest.raises(ValueError, match="max_crashes must be at least 1, not 0"):
        spec(max_crashes=0)
    for wrong in (1.5, True, "3"):
        with pytest.raises(TypeError, match="max_crashes is a whole number, not "):
            spec(max_crashes=wrong)


def test_run_if_is_one_of_two():
    assert spec(run_if="all_done").run_if == "all_done"
    with pytest.raises(ValueError, match="run_if is 'all_success' or 'all_done', not 'always'"):
        spec(run_if="always")


def test_retry_is_a_policy_and_not_a_number():
    with pytest.raises(TypeError, match=r"retry= takes Retry\(...\), not 3"):
        spec(retry=3)


# -- the retry policy -----------------------------------------------------------------------------


def test_so_many_retries_are_one_attempt_more():
    retry = Retry(retries=3)
    assert [retry.again(failures, ValueError()) for failures in (1, 2, 3, 4)] == [
        True,
        True,
        True,
        False,
    ]
    assert not NO_RETRY.again(1, ValueError())


def test_only_chosen_exceptions_are_retried():
    retry = Retry(on=OSError, unless=(FileNotFoundError,))
    assert retry.on == (OSError,)
    assert retry.again(1, ConnectionError())
    assert not retry.again(1, FileNotFoundError())
    assert not retry.again(1, ValueError())
    assert not Retry().again(1, SystemExit())


def test_the_wait_doubles_up_to_the_cap():
    retry = Retry(retries=9, delay=1.0, backoff=2.0, cap=10.0)
    assert [retry.wait(failures, 0.0) for failures in (1, 2, 3, 4, 5, 6)] == [1, 2, 4, 8, 10, 10]


def test_jitter_takes_a_share_off():
    retry = Retry(delay=8.0, jitter=0.5)
    assert retry.wait(1, 0.0) == 8.0
    assert retry.wait(1, 0.5) == 6.0
    assert retry.wait(1, 1.0) == 4.0


def test_a_wait_too_large_for_a_float_is_the_cap():
    assert Retry(retries=5000, delay=1.0, cap=60.0).wait(3000, 0.0) == 60.0
    assert Retry(retries=5000, delay=0.0, cap=60.0).wait(3000, 0.0) == 0.0


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"retries": -1}, ValueError, "retries must be at least 0, not -1"),
        ({"retries": 1.0}, TypeError, "retries is a whole number, not 1.0"),
        ({"delay": -1}, ValueError, "delay must be zero or more seconds, not -1"),
        ({"cap": math.nan}, ValueError, "cap must be zero or more seconds, not nan"),
        ({"backoff": 0.5}, ValueError, "backoff must be at least 1, not 0.5"),
        ({"backoff": math.nan}, ValueError, "backoff must be at least 1, not nan"),
        ({"jitter": 1.5}, ValueError, "jitter is a share between 0 and 1, not 1.5"),
        ({"on": ("ValueError",)}, TypeError, "on= takes exception classes, not "),
        ({"unless": (int,)}, TypeError, "unless= takes exception classes, not "),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options, error, text):
    with pytest.raises(error, match=text):
        Retry(**options)


@pytest.mark.parametrize("field", ["backoff", "jitter"])
def test_a_factor_is_a_number(field):
    with pytest.raises(TypeError):
        Retry(**{field: "2"})


def test_exceptions_may_be_given_one_or_many():
    assert Retry(on=[OSError, KeyError]).on == (OSError, KeyError)
    assert Retry(unless=OSError).unless == (OSError,)
    with pytest.raises(TypeError, match="on= takes exception classes, not 5"):
        Retry(on=5)
