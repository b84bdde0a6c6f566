"""The simulator: thousands of histories keep every law, and a broken engine is found out."""

from __future__ import annotations

import pytest
from claim_faults import CLAIM_FAULTS
from gate_faults import GATE_FAULTS

from windlass._core import endings, engine
from windlass._core.engine import Engine
from windlass._core.lifecycle import Lifecycle
from windlass._core.queues import ReadyQueue
from windlass._core.states import RUNNING
from windlass._core.timers import Timers
from windlass.testing import simulate as command
from windlass.testing.simulation.drawing import simulate
from windlass.testing.simulation.history import Played, no_longer_than, play
from windlass.testing.simulation.plans import Broken
from windlass.testing.simulation.shrinking import shrink

SEEDS = 3_000


@pytest.mark.parametrize("start", range(0, SEEDS, 100))
def test_histories_keep_every_law(start):
    failed = [seed for seed in range(start, start + 100) if simulate(seed).error is not None]
    assert failed == [], f"replay with: python -m windlass.testing.simulate --seed {failed[0]}"


def test_a_seed_always_gives_the_same_history():
    for seed in range(50):
        first, second = simulate(seed), simulate(seed)
        assert first.history == second.history
        assert str(first.history) == str(second.history)


def test_a_history_is_plain_data_that_can_be_played_again():
    told: list[str] = []
    for seed in range(50):
        play(simulate(seed).history, told.append)
    said = "submit, the pump turns, reports, -> running, waits for, cancel, has begun, takes over"
    for words in said.split(", "):
        assert any(words in line for line in told), words


# -- an engine that is broken on purpose ----------------------------------------------------------


def accept_stale_reports(patch):
    settle = Engine.settle
    patch(
        Engine,
        "settle",
        lambda self, reports, now: settle(self, [(t, t.run, o) for t, _, o in reports], now),
    )


def forget_to_give_slots_back(patch):
    patch(Lifecycle, "_vacate", lambda self, task, now, left=True: None)


def start_dependents_early(patch):
    line_up = Lifecycle._line_up
    move = Lifecycle._move

    def hasty(self, task, now):
        line_up(self, task, now)
        for other in task.dependents or ():
            if other.status.value == "waiting":
                move(self, other, endings.PENDING, now, "dependencies done")
                line_up(self, other, now)

    patch(Lifecycle, "_line_up", hasty)


def start_dependents_of_failures(patch):
    patch(endings, "shares_fate", lambda dependent, dependency: False)


def leave_timers_behind(patch):
    patch(Timers, "discard", lambda self, key: None)


def last_in_first_out(patch):
    def push(self, task):
        task.queued = True
        self.size += 1
        self._lines[task.spec.priority].appendleft(task)

    patch(ReadyQueue, "push", push)


def ignore_priorities(patch):
    patch(ReadyQueue, "rank", lambda self, task, now: (1, -task.queued_at))


def drop_what_is_put_off(patch):
    patch(Lifecycle, "_put_off", lambda self, task, delay, now: None)


def retry_once_too_often(patch):
    failed = Lifecycle._failed

    def lenient(self, task, outcome, now, how, **more):
        task.noted.failures -= task.noted.failures == 1
        failed(self, task, outcome, now, how, **more)

    patch(Lifecycle, "_failed", lenient)


def forget_to_stop(patch):
    patch(Engine, "take_stops", lambda self: [])


def cancel_no_children(patch):
    admit = Lifecycle._admit

    def orphan(self, task, before, now, cause):
        admit(self, task, before, now, cause)
        self.children.clear()

    patch(Lifecycle, "_admit", orphan)


def start_what_is_held(patch):
    line_up = Lifecycle._line_up

    def careless(self, task, now):
        task.held = False
        line_up(self, task, now)

    patch(Lifecycle, "_line_up", careless)


def leave_the_timer_of_a_retry(patch):
    def late(self, task, run, now):
        if self.lingering.get(task.id) == run:
            del self.lingering[task.id]
            current = self.tasks.get(task.id)
            if current is not None and current.status.value == "pending" and not current.queued:
                self._line_up(current, now)

    patch(Lifecycle, "_late", late)


def share_the_past(patch):
    renew = Engine._renew

    def close_relatives(self, old, make, now):
        new = renew(self, old, make, now)
        if old.notes is not None:
            new.notes.attempts = old.notes.attempts
        return new

    patch(Engine, "_renew", close_relatives)


def end_twice(patch):
    close = Lifecycle._close

    def hasty(self, task, now, *, left):
        close(self, task, now, left=left)
        if task.status is not RUNNING:
            self._outbox.append(self._outbox[-1])

    patch(Lifecycle, "_close", hasty)


def forget_the_unfinished(patch):
    patch(
        engine.Engine,
        "forget_old",
        lambda self, now: [t for t in [*self.tasks.values()] if self.forget(t)],
    )


FAULTS = [
    accept_stale_reports,
    forget_to_give_slots_back,
    start_dependents_early,
    start_dependents_of_failures,
    leave_timers_behind,
    last_in_first_out,
    ignore_priorities,
    drop_what_is_put_off,
    retry_once_too_often,
    forget_to_stop,
    cancel_no_children,
    start_what_is_held,
    leave_the_timer_of_a_retry,
    share_the_past,
    end_twice,
    forget_the_unfinished,
    *GATE_FAULTS,
    *CLAIM_FAULTS,
]


BEGIN_AT = {
    "let_overtake": 2347,
    "wait_for_who_has_no_slot": 214,
    "never_call_again": 422,
    "overtake_other_executors": 355,
    "wait_for_a_probe_that_is_gone": 487,
    "let_them_wait_who_would_rather_fail": 249,
    "favour_for_ever": 371,
    "keep_waiting_who_is_waited_for": 2414,
    "probe_though_it_waits": 631,
    "begin_whatever_run_it_was": 403,
    "take_it_for_one_that_is_at_its_gates": 195,
    "give_it_its_equals_place": 1183,
    "share_the_past": 503,
    "forget_when_it_is_too_late": 530,
    "first_owner_takes_all": 521,
}
"""Where a fault is found at once, in a history that is soon cut down, today; else from 0 on."""


def first_failure(seeds: range) -> tuple[int, Played]:
    for seed in seeds:
        played = simulate(seed)
        if played.error is not None:
            return seed, played
    pytest.fail(f"not found out within {len(seeds)} seeds")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_broken_engine_is_found_out_and_the_history_cut_down(fault, monkeypatch):
    with monkeypatch.context() as patched:
        fault(patched.setattr)
        start = BEGIN_AT.get(fault.__name__, 0)
        _, played = first_failure(range(start, start + 5_000))
        smallest = shrink(played)
        assert smallest.error is not None
        assert len(smallest.history.steps) <= 20, str(smallest.history)
        with pytest.raises(type(smallest.error)):
            play(smallest.history)
    play(smallest.history)  # it was the fault, not the history


def test_an_engine_that_hangs_is_found_out():
    def hang():
        with no_longer_than(0.01):
            while True:
                pass

    with pytest.raises(Broken, match="the engine hangs"):
        hang()


# -- the command ----------------------------------------------------------------------------------


def test_the_command_counts_and_measures(capsys):
    assert command.main(["--seeds", "40", "--start", "7", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("40 seeds in ")
    assert "a second" in out
    assert "none failed" in out


def test_the_command_spreads_over_processes(capsys):
    assert command.main(["--seeds", "300", "--jobs", "2"]) == 0
    assert "300 seeds in " in capsys.readouterr().out


def test_the_command_replays_one_seed_step_by_step(capsys):
    assert command.main(["--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("setting: ")
    assert "the pump turns" in out
    assert out.endswith("seed 3 keeps every law\n")


def test_the_command_shows_how_to_replay_a_failure(capsys, monkeypatch):
    forget_to_give_slots_back(monkeypatch.setattr)
    assert command.main(["--seeds", "20", "--jobs", "1"]) == 1
    out = capsys.readouterr().out
    seed, _ = first_failure(range(20))
    assert f"python -m windlass.testing.simulate --seed {seed}\n" in out
    assert "cut down from" in out
    assert "  !! Broken: " in out
    assert command.main(["--seed", str(seed)]) == 1
    assert "breaks a law" in capsys.readouterr().out
