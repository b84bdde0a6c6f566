"""The fold over what all managers do, and how it heals after it missed something."""

import threading

import pytest

from windlass import Change, TaskError, TaskManager, TaskStatus
from windlass.cli import tally as module
from windlass.cli.summary import news_line, summary
from windlass.cli.tally import Attempt, Tally
from windlass.cli.view import running_tasks
from windlass.observe import on_open


class Watch:
    """A clock that is turned by hand."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Watch()


@pytest.fixture
def tally(clock):
    made = Tally(clock)
    listener = on_open(made.watch)
    yield made
    listener.cancel()


def fail():
    raise ValueError("no")


def change(number, after, before=None, at=0.0, error=None, cause="why", attempt=1):
    return Change(str(number), "job", "default", before, after, at, attempt, cause, error)


@pytest.fixture
def hear(tally):
    """Have a tally hear changes that were made up."""
    manager = TaskManager()
    tally.watch(manager)
    return lambda *changes: tally._hear(manager, 1, changes)


def test_all_managers_together(tally):
    for _ in range(2):
        with TaskManager() as tm:
            tm.map(str, range(3))
            tm.gather(tm.submit(fail), return_errors=True).result()
    assert tally.counts[TaskStatus.COMPLETED] == 6
    assert tally.counts[TaskStatus.FAILED] == 2
    assert (tally.ended, tally.unfinished, tally.running) == (8, 0, {})
    assert tally.by_name["str"][TaskStatus.COMPLETED] == 6
    assert [failed.name for failed in tally.failed.values()] == ["fail", "fail"]
    assert tally.managers() == []


def test_what_was_missed_is_asked_for(tally, monkeypatch):
    monkeypatch.setattr(module, "_BUFFER", 4)
    running, go, heard = threading.Event(), threading.Event(), threading.Event()

    def wait():
        running.set()
        go.wait()

    with TaskManager() as tm:
        # It subscribes after the tally, so what it has heard, the tally has heard as well.
        tm.subscribe(lambda batch: batch[-1].name == "marker" and heard.set())
        numbers = tm.map(str, range(500))
        tm.submit(wait)
        running.wait()
        tm.gather(*numbers).result()
        tm.external("marker").cancel()
        heard.wait()
        assert tally.missed
        tally.heal(at_last=True)
        assert [attempt.name for attempt in tally.running.values()] == ["wait"]
        assert tally.counts[TaskStatus.COMPLETED] == 500
        assert tally.unfinished == 1
        go.set()
    tally.heal(at_last=True)
    assert tally.counts[TaskStatus.COMPLETED] == 501
    assert (tally.unfinished, tally.running) == (0, {})


def test_who_ended_before_it_was_heard_is_not_shown_as_running(clock):
    tally = Tally(clock)  # it hears nothing
    with TaskManager() as tm:
        done, running = tm.submit(int), tm.external("running")
        done.result()
        running.start()
        running.set_progress(0.25, "a quarter")
        for number, handle in enumerate((done, running)):
            attempt = Attempt(tm, handle.id, handle.name, 1, 0.0, 0.0)
            tally.running[-1, str(number)] = attempt
        shown = running_tasks(tally)
        running.complete(None)
    assert [(glance.attempt.name, glance.fraction) for glance in shown] == [("running", 0.25)]


def test_asking_is_not_done_too_often(tally, clock, monkeypatch):
    monkeypatch.setattr(module, "_BUFFER", 1)
    with TaskManager() as tm:
        tm.map(str, range(100))
    asked = []
    monkeypatch.setattr(TaskManager, "list_tasks", lambda *_, **__: asked.append(1) or [])
    clock.now = 1.0
    tally.heal()
    tally.heal()
    clock.now = 1.9
    tally.heal()
    assert len(asked) == 1
    clock.now = 2.0
    tally.heal()
    assert len(asked) == 2


def test_the_rate_is_that_of_the_last_seconds(tally, clock, hear):
    rates = []
    for second in range(1, 11):
        clock.now = float(second)
        if second <= 5:
            hear(*[change(f"{second}-{n}", TaskStatus.COMPLETED) for n in range(10)])
        rates.append(tally.rate())
    assert rates[0] == 10.0
    assert rates[4] == 10.0
    assert rates[-1] == 0.0


def test_the_slowest_are_kept(tally, hear):
    for n in range(50):
        hear(change(n, TaskStatus.RUNNING, TaskStatus.PENDING, at=100.0))
        hear(change(n, TaskStatus.COMPLETED, TaskStatus.RUNNING, at=100.0 + n % 25))
    seconds = sorted((slow.seconds for slow in tally.slowest), reverse=True)
    assert seconds == [24, 24, 23, 23, 22, 22, 21, 21, 20, 20]


def test_news_that_do_not_fit_are_counted_and_failures_come_first(tally, hear):
    tally.tell_all = True
    hear(*[change(n, TaskStatus.COMPLETED) for n in range(3)])
    hear(change("bad", TaskStatus.FAILED, error=ValueError("no")))
    news, left_out = tally.news(2)
    assert [told.task_id for told in news] == ["bad", "0"]
    assert left_out == 2
    hear(*[change(n, TaskStatus.COMPLETED) for n in range(1000)])
    news, left_out = tally.news(2)
    assert left_out == 998
    assert tally.news(2) == ([], 0)


def test_names_and_failures_are_bounded(tally, hear):
    for n in range(3000):
        hear(Change(str(n), f"name {n}", "default", None, TaskStatus.FAILED, 0.0, 1, "why"))
    assert len(tally.by_name) <= 100
    assert len(tally.failed) <= 1000
    said = "\n".join(str(line) for line in summary(tally, interrupted=False, well=False))
    assert "and 2,980 more" in said


class Mute(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError("not even that")


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (change(1, TaskStatus.COMPLETED), "✔ job 1 completed"),
        (change(1, TaskStatus.CANCELLED, cause="asked"), "⊘ job 1 cancelled (asked)"),
        (
            change(1, TaskStatus.FAILED, error=ValueError("a\nb"), attempt=3),
            "✘ job 1 failed after 3 attempts: ValueError: a",
        ),
        (
            change(1, TaskStatus.PENDING, error=OSError(), cause="failed, retry in 1.0 s"),
            "↻ job 1 attempt 1 failed, retry in 1.0 s: OSError",
        ),
        (
            change(1, TaskStatus.FAILED, error=TaskError("job [1] took too long (attempt 1)")),
            "✘ job 1 failed: took too long",
        ),
        (
            change(1, TaskStatus.FAILED, error=Mute()),
            "✘ job 1 failed: Mute: (its __str__ raised)",
        ),
    ],
)
def test_lines(told, line):
    assert str(news_line(told)) == line
