"""Ways to break what holds tasks back, each of which the simulator must find out."""

from __future__ import annotations

from windlass._core.levels import Level, Line
from windlass._core.lifecycle import Lifecycle
from windlass._core.meters import Circuit, RateMeter, Tide
from windlass._core.turnstile import Turnstile
from windlass._core.turnstiles import Turnstiles


def keep_what_is_held(patch):
    patch(Turnstiles, "leave", lambda self, task, run, now: None)


def give_back_what_still_runs(patch):
    patch(Turnstiles, "linger", lambda self, task, now: self.leave(task, task.run, now))


def give_back_twice(patch):
    release = Turnstile.release

    def generous(self, run):
        weight = self.holders.get(run, 0)
        left = release(self, run)
        self.held -= weight
        return left

    patch(Turnstile, "release", generous)


def wake_nobody(patch):
    def leave(self, task, run, now):
        for gate, _ in self.of(task):
            gate.release((task, run))

    patch(Turnstiles, "leave", leave)


def never_ring(patch):
    call = Turnstiles.call

    def deaf(self, gate, now):
        self._ring_at = lambda gate, when: None
        call(self, gate, now)

    patch(Turnstiles, "call", deaf)


def take_one_gate_without_the_other(patch):
    of, enter = Turnstiles.of, Turnstiles.enter

    def hasty(self, task, now):
        patch(Turnstiles, "of", lambda self, task: [*of(self, task)][:1])
        try:
            return enter(self, task, now)
        finally:
            patch(Turnstiles, "of", of)

    patch(Turnstiles, "enter", hasty)


def take_all_for_light(patch):
    refusal = Turnstile.refusal
    patch(Turnstile, "refusal", lambda self, weight, kept, now: refusal(self, 1, kept, now))


def let_overtake(patch):
    patch(Turnstiles, "_must_queue", lambda self, task, gate, caller, now: False)


def wait_for_who_has_no_slot(patch):
    """A gate keeps its room for the first of all lines, whose executor may be full."""
    patch(Lifecycle, "_has_slot", lambda self, executor: True)


def never_call_again(patch):
    patch(Turnstiles, "call_again", lambda self, now: self.heeded.clear())


def overtake_other_executors(patch):
    patch(Turnstiles, "_held_up", lambda self, task, gate, now: False)


def jump_the_line(patch):
    patch(Line, "add", lambda self, task, back: self._new.appendleft(task))


def shorten_the_window(patch):
    following = RateMeter.next
    patch(RateMeter, "next", lambda self, weight, now: following(self, weight, now + 0.1))


def forget_the_burst(patch):
    spend = RateMeter.spend

    def at_once(self, weight, now):
        spend(self, weight, now)
        self._arrival = now

    patch(RateMeter, "spend", at_once)


def open_too_late(patch):
    judge = Circuit._is_too_much

    def lenient(self, failed, now):
        return judge(self, failed=failed, now=now) and self._in_a_row > self.breaker.failures

    patch(Circuit, "_is_too_much", lenient)


def let_anybody_probe(patch):
    patch(Circuit, "admits", lambda self, called: self.state != "open")


def wait_for_a_probe_that_is_gone(patch):
    release = Turnstile.release

    def stubborn(self, run):
        probe = self.circuit.probe if self.circuit is not None else None
        left = release(self, run)
        if probe == run:
            self.circuit.probe = probe
        return left

    patch(Turnstile, "release", stubborn)


def let_them_wait_who_would_rather_fail(patch):
    turned = Turnstiles._turned

    def forgetful(self, gate, before, after, now, cause):
        doomed = list(self.doomed)
        turned(self, gate, before, after, now, cause)
        self.doomed.clear()
        self.doomed.extend(doomed)

    patch(Turnstiles, "_turned", forgetful)


def expect_who_has_passed(patch):
    enter = Turnstiles.enter

    def forgetful(self, task, now):
        passed = enter(self, task, now)
        if passed:
            self.expect(task)
        return passed

    patch(Turnstiles, "enter", forgetful)


def favour_for_ever(patch):
    """Room is kept for the favoured even from those who stand before it in its own line."""

    def kept(self, gate, task, now):
        favoured = self.favoured
        if favoured is None or favoured is task:
            return 0
        outranked = gate.rank(task, now) > gate.rank(favoured, now)
        return 0 if outranked else favoured.spec.weight(gate.name)

    patch(Turnstiles, "_kept", kept)


def wait_until_it_is_wide_enough(patch):
    """Who was let in when a gate was wider waits until it is so again."""
    patch(
        Turnstile,
        "fits",
        lambda self, weight, held: self.slots is None or held + weight <= self.slots,
    )


def rise_without_bound(patch):
    look = Tide.look
    patch(Tide, "look", lambda self, load, now: look(self, load, now) + self.adaptive.max)


def first_owner_takes_all(patch):
    patch(Level, "_key", lambda self, owner: (0, 0, owner))


def keep_waiting_who_is_waited_for(patch):
    """Who is waited for stands behind those who can only pass when its waiter has left."""
    patch(Turnstile, "awaits_waiters", lambda self, task: False)


def probe_though_it_waits(patch):
    patch(Turnstile, "spare", lambda self, task: None)


GATE_FAULTS = [
    keep_what_is_held,
    give_back_what_still_runs,
    give_back_twice,
    wake_nobody,
    never_ring,
    take_one_gate_without_the_other,
    take_all_for_light,
    let_overtake,
    wait_for_who_has_no_slot,
    never_call_again,
    overtake_other_executors,
    jump_the_line,
    shorten_the_window,
    forget_the_burst,
    open_too_late,
    let_anybody_probe,
    wait_for_a_probe_that_is_gone,
    let_them_wait_who_would_rather_fail,
    expect_who_has_passed,
    favour_for_ever,
    wait_until_it_is_wide_enough,
    keep_waiting_who_is_waited_for,
    probe_though_it_waits,
    rise_without_bound,
    first_owner_takes_all,
]
