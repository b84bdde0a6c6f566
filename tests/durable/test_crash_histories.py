"""The simulator's histories of crashes keep every law, and what breaks them is found out."""

from __future__ import annotations

import pytest

from windlass._core.engine import Engine
from windlass._core.lifecycle import Lifecycle
from windlass._runtime import desk, keeping, recovery
from windlass._runtime.durable import Durable
from windlass._runtime.follower import Follower
from windlass._runtime.journal import Journal
from windlass._runtime.pump import Pump
from windlass.stores.memory import MemoryStore
from windlass.testing import simulate as command
from windlass.testing.simulation.crashes.drawing import simulate
from windlass.testing.simulation.history import play
from windlass.testing.simulation.shrinking import shrink

SEEDS = 300


@pytest.mark.parametrize("start", range(0, SEEDS, 100))
def test_histories_of_crashes_keep_every_law(start):
    failed = [seed for seed in range(start, start + 100) if simulate(seed).error is not None]
    assert failed == [], (
        f"replay with: python -m windlass.testing.simulate --crashes --seed {failed[0]}"
    )


def test_some_of_them_happen_in_a_file():
    assert any(simulate(seed).history.setting.in_file for seed in range(100))


def test_a_seed_always_gives_the_same_history():
    for seed in range(20):
        first, second = simulate(seed), simulate(seed)
        assert first.history == second.history
        assert str(first.history) == str(second.history)


def test_a_history_can_be_played_again_and_told():
    told: list[str] = []
    for seed in range(60):
        play(simulate(seed).history, told.append)
    words = ("opens", "leads, epoch 2", "acknowledges", "starts run", "is killed", "is handled")
    for word in words:
        assert any(word in line for line in told), word


# -- broken on purpose ----------------------------------------------------------------------------


def announce_before_the_commit(patch):
    write = Journal.write

    def hasty(self, entry):
        write(self, entry)
        self._done.append(entry)

    patch.setattr(Journal, "write", hasty)


def start_before_the_commit(patch):
    write = Pump._write

    def hasty(self, turn, *rest):
        self._start(turn.runs)
        write(self, turn, *rest)

    patch.setattr(Pump, "_write", hasty)


def lose_a_row(patch):
    batch = Journal._batch

    def careless(self, entries):
        found = batch(self, entries)
        found.fresh, found.inserts = found.fresh[1:], found.inserts[1:]
        return found

    patch.setattr(Journal, "_batch", careless)


def let_anybody_write(patch):
    commit = MemoryStore.commit
    patch.setattr(
        MemoryStore, "commit", lambda self, epoch, batch: commit(self, self._epoch, batch)
    )


def handle_requests_without_effect(patch):
    patch.setitem(desk._KINDS, "submit", lambda self, *fields: None)


def handle_requests_twice(patch):
    commit = MemoryStore.commit

    def forgetful(self, epoch, batch):
        kept = dict(self._requests)
        commit(self, epoch, batch)
        self._requests |= kept

    patch.setattr(MemoryStore, "commit", forgetful)


def accept_results_of_earlier_runs(patch):
    settle = Engine.settle
    patch.setattr(
        Engine,
        "settle",
        lambda self, reports, now: settle(self, [(t, t.run, o) for t, _, o in reports], now),
    )


def forget_keys_of_the_past(patch):
    patch.setattr(Durable, "look_for_key", lambda self, job: None)


def recover_what_has_ended(patch):
    def everything(self):
        anew = {"status": "pending", "outcome": None, "ended_at": None}
        return iter([row._replace(**anew) for row in self._rows()])

    patch.setattr(MemoryStore, "unfinished", everything)


def ignore_max_crashes(patch):
    patch.setattr(recovery, "_too_many_crashes", lambda job: None)


def forget_crashes(patch):
    patch.setattr(recovery, "_count_crash", lambda job, now: None)


def run_suspects_together(patch):
    patch.setattr(recovery, "_is_suspect", lambda job: False)


def forget_steps(patch):
    patch.setattr(Durable, "keep_step", lambda self, job, name, value: None)


def refuse_what_was_acknowledged(patch):
    suffer = Journal._suffer

    def harsh(self, entries, error):
        self.pledged.clear()
        suffer(self, entries, error)

    patch.setattr(Journal, "_suffer", harsh)


def forget_what_is_not_stored(patch):
    forget_old = Engine.forget_old
    patch.setattr(Engine, "forget_old", lambda self, now, may_go=None: forget_old(self, now))


def count_timeouts_from_before_the_start(patch):
    always_false = property(lambda self: False, lambda self, value: None)
    patch.setattr(Engine, "stores_first", always_false, raising=False)


def forget_when_a_task_was_asked_for(patch):
    patch.setattr(Engine, "restore", _restore_as_new(Engine.restore))


def _restore_as_new(restore):
    def renewed(self, task, now, verdict=None):
        task.created_at = now
        restore(self, task, now, verdict)

    return renewed


def let_nothing_expire(patch):
    ring = Lifecycle._ring
    patch.setattr(
        Lifecycle,
        "_ring",
        lambda self, task, what, now: what == "expires" or ring(self, task, what, now),
    )


def forget_what_is_needed(patch):
    patch.setattr(keeping, "needed", lambda tasks: set())


def forget_too_early(patch):
    ended = MemoryStore.ended
    patch.setattr(
        MemoryStore,
        "ended",
        lambda self, before, *rest: (
            ended(self, before + 5.0, *rest[:3], rest[3] + 5.0)
            if rest[3:] and rest[3] is not None
            else ended(self, before + 5.0, *rest)
        ),
    )


def let_clients_wait_for_what_is_forgotten(patch):
    patch.setattr(Follower, "_is_handled", lambda self, job: False)


FAULTS = {
    announce_before_the_commit: 0,
    start_before_the_commit: 0,
    lose_a_row: 0,
    let_anybody_write: 8,
    handle_requests_without_effect: 0,
    handle_requests_twice: 0,
    accept_results_of_earlier_runs: 139,
    forget_keys_of_the_past: 273,
    recover_what_has_ended: 4,
    ignore_max_crashes: 13,
    forget_crashes: 13,
    run_suspects_together: 223,
    forget_steps: 0,
    refuse_what_was_acknowledged: 283,
    forget_what_is_not_stored: 102,
    count_timeouts_from_before_the_start: 8,
    forget_when_a_task_was_asked_for: 10,
    let_nothing_expire: 11,
    forget_what_is_needed: 0,
    forget_too_early: 40,
    let_clients_wait_for_what_is_forgotten: 406,
}
"""Each with a seed whose history finds it out."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_is_broken_on_purpose_is_found_out(fault, monkeypatch):
    seed = FAULTS[fault]
    with monkeypatch.context() as patch:
        fault(patch)
        assert simulate(seed).error is not None
    assert simulate(seed).error is None  # it was the fault, not the history


def test_a_history_that_fails_is_cut_down(monkeypatch):
    with monkeypatch.context() as patch:
        lose_a_row(patch)
        smallest = shrink(simulate(FAULTS[lose_a_row]))
        assert smallest.error is not None
        assert len(smallest.history.steps) <= 8, str(smallest.history)
    play(smallest.history)


# -- the command ----------------------------------------------------------------------------------


def test_the_command_plays_histories_of_crashes(capsys):
    assert command.main(["--crashes", "--seeds", "20", "--jobs", "1"]) == 0
    assert "20 seeds in " in capsys.readouterr().out
    assert command.main(["--crashes", "--seed", "3"]) == 0
    assert capsys.readouterr().out.endswith("seed 3 keeps every law\n")


def test_the_command_shows_how_to_replay_a_history_of_crashes(capsys, monkeypatch):
    lose_a_row(monkeypatch)
    seed = FAULTS[lose_a_row]
    assert command.main(["--crashes", "--seeds", "1", "--start", str(seed), "--jobs", "1"]) == 1
    out = capsys.readouterr().out
    assert f"python -m windlass.testing.simulate --crashes --seed {seed}\n" in out
    assert "  !! Broken: " in out
