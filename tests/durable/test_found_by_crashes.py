"""Histories of crashes that once broke a law, each as short as it can be told."""

from __future__ import annotations

from contextlib import closing

import pytest

from windlass.testing.simulation.crashes.plans import Order, Setting
from windlass.testing.simulation.crashes.steps import (
    Ask,
    Die,
    Do,
    Forget,
    Open,
    Pass,
    PostAgain,
    Report,
    Submit,
    TakeOver,
    Weather,
)
from windlass.testing.simulation.history import History, happen, play

FULL, WELL, LOCKED = Weather("full"), Weather("well"), Weather("locked")


def do(life: str, *what: str) -> tuple[Do, ...]:
    return tuple(Do(life, one) for one in what)


def submit(life: str, *orders: Order) -> Submit:
    return Submit(life, orders)


STORED = ("turn", "commit")
STARTED = ("turn", "commit", "turn")

HISTORIES = {
    "who is replaced acknowledges nothing": (
        Open("A"), Open("B"), submit("A", Order("a")), *do("A", "turn"), TakeOver("B"),
    ),
    "a client that cannot leave a task does not say that it is safe": (
        Open("A", role="client"), FULL, submit("A", Order("a")), *do("A", "attend"),
    ),
    "what came as a request is not refused for a full disk": (
        Open("A"), Open("B"), submit("B", Order("a")), *do("B", "attend"), *do("A", "look", "turn"),
        FULL, *do("A", "commit"), WELL,
    ),
    "nor does it give way to what was refused": (
        Open("A"), Open("B"), submit("A", Order("a", key="k")), *do("A", "turn"),
        submit("B", Order("b", key="k")), *do("B", "attend"), FULL, *do("A", "commit"), WELL,
    ),
    "nor to what is refused after that": (
        Open("A"), Open("B"), submit("A", Order("a", key="k")), *do("A", "turn"),
        submit("B", Order("b", key="k")), *do("B", "attend"), *do("A", "look"), FULL,
        *do("A", "commit"), WELL,
    ),
    "who gives way to a key is told its end, though the file was locked": (
        Open("A", role="client"), submit("A", Order("a", key="k"), Order("b", key="k")),
        *do("A", "attend"), Open("B"), LOCKED, *do("B", "look"), WELL,
    ),
    "and by the process that had asked, and leads by now": (
        Open("A"), submit("A", Order("a", key="k")), *do("A", *STARTED), Open("B"),
        submit("B", Order("b", key="k")), *do("B", "attend"), Die("A"), *do("B", "attend"),
    ),
    "or comes to lead after that": (
        Open("A"), Open("B"), submit("B", Order("a", key="k"), Order("b", key="k")),
        *do("B", "attend"), *do("A", "look", "close"),
    ),
    "what is asked of one that closes waits for who leads next": (
        Open("A"), submit("A", Order("a")), Ask("A", "a", "cancel"), *do("A", *STORED),
        Open("B", role="client"), Ask("B", "a", "retry"), *do("B", "attend"),
        Open("C"), Die("C", writes=1), TakeOver("C"),
    ),
    "what depends on one that gave way depends on the other, in the next life too": (
        Open("A"),
        submit(
            "A", Order("a", key="k"), Order("b", key="k"),
            Order("c", after=("b",), with_results=True, held=True),
        ),
    ),
    "and where a client had asked": (
        Open("A"), Open("B"),
        submit(
            "B", Order("a", key="k"), Order("b", key="k"),
            Order("c", after=("b",), with_results=True),
        ),
        *do("B", "attend"),
    ),
    "or to a younger one, which the next life reads after it": (
        Open("A"), Open("B"),
        submit("B", Order("a", key="k"), Order("b", after=("a",), held=True)), Pass(1.0),
        submit("A", Order("c", key="k", held=True)), *do("B", "attend"), *do("A", "look", *STORED),
    ),
    "which may have been asked for by who leads, after it had followed": (
        Open("A"), Open("B"), submit("B", Order("a", key="k"), Order("b", after=("a",))),
        TakeOver("B"), submit("B", Order("c", key="k")), *do("B", "look", *STORED), Die("A"),
        Die("B"),
    ),
    "and what depends on it can be retried by the next life": (
        Open("A"), Open("B"), submit("A", Order("a", key="k")),
        submit("B", Order("b", key="k"), Order("c", after=("b",), with_results=True, expires=2.0)),
        *do("B", "attend"), *do("A", "look"), Pass(6.0), *do("A", *STORED), Die("A"),
        *do("B", "attend"), Open("C"), Ask("C", "c", "retry"), *do("C", "attend"),
        *do("B", "look", *STORED),
    ),
    "who has a task retried is not told how it had ended before": (
        Open("A"), submit("A", Order("a")), *do("A", *STARTED), Report("A", "a", "fatal"),
        *do("A", *STARTED), Open("B", role="client"), Ask("B", "a", "retry"),
    ),
    "and if it leads before that is done, how it ends then": (
        Open("A"), submit("A", Order("a")), *do("A", *STARTED), Report("A", "a", "fatal"),
        *do("A", *STARTED), Open("B"), Die("A"), Ask("B", "a", "retry"),
    ),
    "one that could not be stored has ended, though another has its key": (
        Open("A"), submit("A", Order("a", key="k")), *do("A", "turn"), FULL,
        *do("A", "commit"), WELL, *do("A", "commit", "turn"),
        submit("A", Order("b", key="k", after=("a",), run_if="all_done")),
    ),
    "what waited for an end of any kind does not wait for the next": (
        Open("A"), submit("A", Order("a", fails_on_crash=True)), *do("A", *STARTED), Open("B"),
        submit("B", Order("b", after=("a",)), Order("c", after=("b",), run_if="all_done")),
        *do("B", "attend"), Die("A"), Die("B"), Open("C"), *do("C", "look"),
        Ask("C", "a", "retry downstream"),
    ),
    "a request of another version of the program does not run without its arguments": (
        Open("A"), Open("B"),
        submit("B", Order("a"), Order("b", "kiln", after=("a",), with_results=True)),
        Open("C", (("kiln", "narrow"),)), TakeOver("C"),
    ),
    "whose task can be retried by one that takes them": (
        Open("A"), submit("A", Order("a"), Order("b", "kiln", after=("a",), with_results=True)),
        *do("A", *STARTED), Open("B", (("kiln", "narrow"),)), TakeOver("B"), *do("B", *STARTED),
        Ask("B", "b", "retry"), *do("B", *STARTED),
    ),
    "not even along with what it depends on, before its end is stored": (
        Open("A", (("kiln", "narrow"),)), submit("A", Order("a", expires=2.0)), Pass(6.0),
        *do("A", *STORED), Open("B", role="client"),
        submit("B", Order("b", "kiln", after=("a",), with_results=True)),
        Ask("B", "a", "retry downstream"), *do("B", "attend"), *do("A", "look", *STARTED),
    ),
    "a task is retried before it was ever stored": (
        Open("A"), submit("A", Order("a")), Ask("A", "a", "cancel"), Ask("A", "a", "retry"),
    ),
    "and cannot be stored then: neither of both is safe": (
        Open("A"), submit("A", Order("a")), Ask("A", "a", "cancel"), Ask("A", "a", "retry"), FULL,
        *do("A", *STORED), WELL,
    ),
    "or after it could not be": (
        Open("A"), submit("A", Order("a")), *do("A", "turn"), FULL, *do("A", "commit", "turn"),
        WELL, Ask("A", "a", "retry"),
    ),
    "crashes are judged by a program that has the function": (
        *(
            step
            for life in "ABC"
            for step in (
                Open(life, (("mill", "lenient"),)), submit(life, Order("a")),
                *do(life, *STARTED), Die(life),
            )
        ),
        Open("D", (("mill", "unknown"),)), *do("D", *STARTED),
    ),
    "a leader that was replaced finds out although it has nothing to write": (
        Open("A"), submit("A", Order("a", held=True)),
        submit("A", Order("b", after=("a",), with_results=True, held=True)), *do("A", *STARTED),
        Open("B", (("mill", "narrow"),)), TakeOver("B"),
    ),
    "who is stopped leaves a gate before the next one passes": (
        Open("A"), submit("A", Order("a", gated=True), Order("b", gated=True)), *do("A", *STARTED),
        Ask("A", "a", "cancel"), *do("A", *STARTED),
    ),
    "who does not end when it is stopped is given up, and leaves its slot to others": (
        Open("A"), submit("A", *[Order(name, executor="async") for name in "abcd"]),
        *do("A", *STARTED), Ask("A", "a", "cancel"), Pass(6.0), *do("A", *STARTED),
    ),
    "a cancelling is remembered while the task cleans up": (
        Open("A"), submit("A", Order("a", executor="async")), *do("A", *STARTED), Open("B"),
        Ask("B", "a", "cancel"), *do("B", "attend"), *do("A", "look", *STORED), TakeOver("B"),
    ),
    "a request that comes twice is one task": (
        Open("A", role="client"), submit("A", Order("a")), *do("A", "attend"), Open("B"),
        *do("B", "look"), Ask("B", "a", "cancel"), PostAgain(1), *do("B", *STORED), Die("B"),
    ),
    "also where it cannot run": (
        Open("A", role="client"),
        submit("A", Order("a"), Order("b", after=("a",), with_results=True)), *do("A", "attend"),
        Open("B", (("mill", "narrow"),)), *do("B", "look", "turn"), PostAgain(2),
    ),
}  # fmt: skip

FORGETFUL = {
    "what is forgotten at once is stored with its dependencies": (
        Open("A"), submit("A", Order("a"), Order("b"), Order("c", after=("b", "a"))),
        Ask("A", "a", "cancel"), *do("A", *STORED), Open("B"), Ask("B", "c", "retry"),
    ),
    "who is retried gets the result of its dependency's new run": (
        Open("A"), submit("A", Order("a"), Order("b", after=("a",), with_results=True)),
        *do("A", *STARTED), Report("A", "a", "fatal"), *do("A", *STORED),
        Ask("A", "a", "retry downstream"),
    ),
    "what has ended and is not stored is not read as it was before": (
        Open("A"), submit("A", Order("a", max_crashes=1), Order("b", after=("a",))),
        *do("A", *STORED), Open("B", role="client"), submit("B", Order("c", after=("b",))),
        *do("B", "attend"), Die("A"),
    ),
    "what a client asked for and takes in itself gets the result of the other's new run": (
        Open("A"), submit("A", Order("a", fails_on_crash=True)), *do("A", *STARTED), Open("B"),
        submit("B", Order("b", after=("a",), with_results=True, delay=5.0)), Die("A"),
        *do("B", "attend"), Ask("B", "a", "retry"),
    ),
}  # fmt: skip

PRUNED = {
    "what was retried is not forgotten for how it had ended": (
        Setting(failed=4.0),
        Open("A"), submit("A", Order("a")), *do("A", *STARTED), Report("A", "a", "fatal"),
        *do("A", *STARTED), Pass(6.0), Ask("A", "a", "retry"), *do("A", "look", *STARTED),
    ),
    "nor for how it had ended before that, when it has failed anew": (
        Setting(failed=4.0),
        Open("A"), submit("A", Order("a"), Order("b"), Order("c", after=("a", "b"))),
        *do("A", *STARTED), Report("A", "a", "fatal"), Report("A", "b", "fatal"),
        *do("A", *STARTED), Pass(6.0), Ask("A", "a", "retry downstream"),
        *do("A", "look", *STARTED),
    ),
    "what is being forgotten cannot be retried": (
        Setting(),
        Open("A"), submit("A", Order("a")), *do("A", *STARTED), Report("A", "a", "fatal"),
        *do("A", *STARTED), Forget("A", "a"), Ask("A", "a", "retry"), *do("A", *STARTED),
    ),
    "nor can what depends on it": (
        Setting(),
        Open("A"), submit("A", Order("a"), Order("b", after=("a",))), *do("A", *STARTED),
        Report("A", "a", "ok"), *do("A", *STARTED), Report("A", "b", "fatal"), *do("A", *STARTED),
        Forget("A", "a"), Ask("A", "b", "retry"), *do("A", *STARTED),
    ),
    "nothing new depends on it": (
        Setting(keep_count=0),
        Open("A"), submit("A", Order("a")), *do("A", *STARTED), Report("A", "a", "ok"),
        *do("A", *STARTED), Forget("A", "a"), submit("A", Order("b", after=("a",))),
        *do("A", *STARTED),
    ),
    "what something depends on is not forgotten, whoever asks for that": (
        Setting(),
        Open("A"), submit("A", Order("a"), Order("b", after=("a",), with_results=True)),
        *do("A", *STARTED), Report("A", "a", "ok"), *do("A", *STARTED), Forget("A", "a"),
        Open("B"), Forget("B", "a"), *do("B", "attend"), *do("A", "look", *STARTED),
    ),
    "a client hears that what it waits for was forgotten": (
        Setting(completed=0.0),
        Open("A"), Open("B", role="client"), submit("B", Order("a")), *do("B", "attend"),
        *do("A", "look", *STARTED), Report("A", "a", "ok"), *do("A", *STARTED), Pass(11.0),
        *do("A", "look", *STARTED),
    ),
    "also if that gave way to another one": (
        Setting(completed=0.0, keys=0.0),
        Open("A"), submit("A", Order("a", key="k")), *do("A", *STARTED),
        Open("B", role="client"), submit("B", Order("b", key="k")), *do("B", "attend"),
        *do("A", "look"), Report("A", "a", "ok"), *do("A", *STARTED), Pass(11.0),
        *do("A", "look", *STARTED),
    ),
    "a timeout does not begin before what has it, while the file is locked": (
        Setting(),
        Open("A"), submit("A", Order("a", timeout=1.5)), *do("A", "turn"), LOCKED,
        Pass(6.0), *do("A", *STORED), WELL,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HISTORIES)
def test_it_keeps_every_law(name):
    play(History(Setting(), HISTORIES[name]))


@pytest.mark.parametrize("name", FORGETFUL)
def test_it_keeps_every_law_where_nothing_is_remembered(name):
    play(History(Setting(keep_count=0), FORGETFUL[name]))


@pytest.mark.parametrize("name", PRUNED)
def test_it_keeps_every_law_where_something_is_forgotten_or_its_time_is_up(name):
    setting, *steps = PRUNED[name]
    play(History(setting, tuple(steps)))


def test_what_fell_with_a_younger_task_is_found_by_the_next_life():
    steps = (
        Open("A"), Open("B"), submit("B", Order("a", key="k"), Order("b", after=("a",))),
        Pass(1.0), submit("A", Order("c")), submit("A", Order("d", key="k", after=("c",))),
        *do("B", "attend"), *do("A", "look", *STARTED), Report("A", "c", "fatal"),
        *do("A", *STORED), Die("A"), Die("B"), Open("C"), Ask("C", "c", "retry downstream"),
        *do("C", *STORED),
    )  # fmt: skip
    with closing(Setting().world()) as world:
        for step in steps:
            happen(world, step)
        now = {name: world.account.status(name) for name in "bcd"}
    assert now == {"b": "waiting", "c": "running", "d": "waiting"}
