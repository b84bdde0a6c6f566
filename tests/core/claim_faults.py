"""Ways to break what is known of runs that begin elsewhere, or were taken back before they did.

The simulator must find out each.
"""

from __future__ import annotations

from windlass._core import waits
from windlass._core.engine import Engine
from windlass._core.lifecycle import Lifecycle
from windlass._core.queues import ReadyQueue
from windlass._core.task import Task


def begin_whatever_run_it_was(patch):
    begin = Engine.begin
    patch(Engine, "begin", lambda self, task, run, now: begin(self, task, task.run, now))


def begin_again_and_again(patch):
    begin = Engine.begin

    def forgetful(self, task, run, now):
        begun = begin(self, task, run, now)
        if begun:
            self.claimed[task] = ""
        return begun

    patch(Engine, "begin", forgetful)


def wait_for_the_lost_word_of_a_start(patch):
    settle = Engine.settle

    def pedantic(self, reports, now):
        settle(self, [one for one in reports if one[0] not in self.claimed], now)

    patch(Engine, "settle", pedantic)


def let_the_timeout_begin_in_the_queue(patch):
    hand_over = Lifecycle._hand_over

    def impatient(self, taken):
        for task in taken:
            if task.spec.timeout is not None and self._pool(task).traits.reports_start:
                self.timers.set((task, "timeout"), task.queued_at + task.spec.timeout)
        return hand_over(self, taken)

    patch(Lifecycle, "_hand_over", impatient)


def take_back_and_tell_nobody(patch):
    recall = Lifecycle._recall

    def silent(self, task, now):
        recalled = recall(self, task, now)
        if recalled:
            self.stops.pop()
        return recalled

    patch(Lifecycle, "_recall", silent)


def keep_what_was_taken_back(patch):
    recall = Lifecycle._recall

    def stingy(self, task, now):
        patch(Lifecycle, "_vacate", lambda self, task, now, *, left=True: None)
        try:
            return recall(self, task, now)
        finally:
            patch(Lifecycle, "_vacate", vacate)

    vacate = Lifecycle._vacate
    patch(Lifecycle, "_recall", stingy)


def spend_what_never_began(patch):
    recall = Lifecycle._recall

    def dear(self, task, now):
        recalled = recall(self, task, now)
        if recalled:
            task.noted.given_back -= 1
        return recalled

    patch(Lifecycle, "_recall", dear)


def take_it_back_and_leave_it_there(patch):
    def interrupt(self, task, now):
        if task.status.value != "running":
            self._recall(task, now)
        else:
            interrupted(self, task, now)

    interrupted = Engine.interrupt
    patch(Engine, "interrupt", interrupt)


def take_it_for_one_that_is_at_its_gates(patch):
    patch(waits, "_has_gates_ahead", lambda task: task.status.value in {"pending", "waiting"})


def count_it_twice(patch):
    most = Task.most_attempts.fget

    def too_many(self):
        return most(self) + (self.status.value == "pending" and self.run_is_open)

    patch(Task, "most_attempts", property(too_many))


def forget_when_it_is_too_late(patch):
    restore = Engine.restore

    def lenient(self, task, now, verdict=None):
        restore(self, task, now, verdict)
        if task.run:
            self.timers.discard((task, "expires"))

    patch(Engine, "restore", lenient)


def expire_what_has_begun(patch):
    restore = Engine.restore

    def strict(self, task, now, verdict=None):
        task.started_at = 0.0
        restore(self, task, now, verdict)

    patch(Engine, "restore", strict)


def spend_what_was_taken_back(patch):
    resume = Lifecycle._resume_line

    def dear(self, task, now):
        resume(self, task, now)
        task.noted.given_back -= 1

    patch(Lifecycle, "_resume_line", dear)


def lose_its_place(patch):
    line_up = Lifecycle._line_up
    patch(Lifecycle, "_line_up", lambda self, task, now, *, back=False: line_up(self, task, now))


def give_it_its_equals_place(patch):
    """It joins the line where it was, but after those that joined with it."""

    def put(self, task, *, back=False):
        put_as_new(self, task, back=back and task.notes.called is not None)

    put_as_new = ReadyQueue.put
    patch(ReadyQueue, "put", put)


def let_it_stay_too_long(patch):
    resume = Lifecycle._resume_line

    def lenient(self, task, now):
        resume(self, task, now)
        self.timers.discard((task, "expires"))

    patch(Lifecycle, "_resume_line", lenient)


CLAIM_FAULTS = [
    spend_what_was_taken_back,
    lose_its_place,
    give_it_its_equals_place,
    let_it_stay_too_long,
    begin_whatever_run_it_was,
    begin_again_and_again,
    wait_for_the_lost_word_of_a_start,
    let_the_timeout_begin_in_the_queue,
    take_back_and_tell_nobody,
    keep_what_was_taken_back,
    spend_what_never_began,
    take_it_back_and_leave_it_there,
    take_it_for_one_that_is_at_its_gates,
    count_it_twice,
    forget_when_it_is_too_late,
    expire_what_has_begun,
]
