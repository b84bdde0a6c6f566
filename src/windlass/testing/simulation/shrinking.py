"""Cutting down a history that fails, for as long as it still fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .history import History, Played, play

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIES = 4_000


def shrink(failed: Played) -> Played:
    """A smaller history that fails as well, though perhaps in another way; where it is found."""
    tries = 0
    while True:
        for smaller in _smaller(failed.history):
            tries += 1
            error = _fails(smaller)
            if error is not None:
                failed = Played(smaller, error)
                break
            if tries >= _TRIES:
                return failed
        else:
            return failed


def _fails(history: History) -> Exception | None:
    try:
        play(history)
    except Exception as error:  # noqa: BLE001  # whatever it is, it should not be
        return error
    return None


def _smaller(history: History) -> Iterator[History]:
    """Histories that are a bit simpler, the boldest first."""
    setting, steps = history
    size = len(steps)
    while size:
        for start in range(0, len(steps), size):
            yield History(setting, steps[:start] + steps[start + size :])
        size //= 2
    for number, step in enumerate(steps):
        for simpler in getattr(step, "simpler", tuple)():
            yield History(setting, (*steps[:number], simpler, *steps[number + 1 :]))
    yield from (History(plainer, steps) for plainer in setting.plainer())
