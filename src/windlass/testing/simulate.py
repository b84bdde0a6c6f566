"""Let the engine live through many random histories, and see that it keeps every law.

::

    python -m windlass.testing.simulate --seeds 100000              that many, from --start on
    python -m windlass.testing.simulate --seed 4711                 one of them, told step by step
    python -m windlass.testing.simulate --crashes --seeds 100000    of processes on one store
    python -m windlass.testing.simulate --crashes --seed 4711       one of those

With ``--crashes`` they are histories of several processes that keep their tasks in one store, of
which any may be killed before or after any write, or be replaced while it is frozen.

A history that breaks a law is cut down to what is needed for it, and shown with the one line that
replays it. What the laws are stands in ``windlass.testing.simulation.laws``, and those of crashes
in ``windlass.testing.simulation.crashes.account``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from contextlib import ExitStack
from functools import partial
from time import perf_counter  # noqa: TID251  # it measures itself, not tasks
from typing import TYPE_CHECKING, NamedTuple

from .simulation import drawing
from .simulation.history import play
from .simulation.shrinking import shrink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .simulation.history import Played

_BATCH = 250


class _Tally(NamedTuple):
    """What came of a batch of seeds."""

    seeds: int
    failed: tuple[int, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 if every history kept every law."""
    options = _options(arguments)
    if options.seed is not None:
        return _replay(options.seed, crashes=options.crashes)
    began = perf_counter()
    done, failed = 0, list[int]()
    seeds = range(options.start, options.start + options.seeds)
    for tally in _tallies(seeds, options.jobs, crashes=options.crashes):
        done += tally.seeds
        failed += tally.failed
        _progress(done, options.seeds, len(failed))
    seconds = perf_counter() - began
    print(
        f"{done} seeds in {seconds:.1f} s, {done / seconds:.0f} a second "
        f"({options.jobs} at once): {len(failed) or 'none'} failed"
    )
    if failed:
        print("seeds that failed: " + " ".join(map(str, sorted(failed)[:20])))
        _report(min(failed), crashes=options.crashes)
    return 1 if failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m windlass.testing.simulate",
        description="Simulate random histories, and check every step of them.",
    )
    parser.add_argument("--seeds", type=int, default=1_000, help="how many histories (1000)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--seed", type=int, help="replay this one, told step by step")
    parser.add_argument(
        "--crashes",
        action="store_true",
        help="of processes that share a store and are killed, instead of one engine's",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each CPU)"
    )
    return parser.parse_args(arguments)


def _simulate(seed: int, *, crashes: bool) -> Played:
    if crashes:
        from .simulation.crashes.drawing import (  # noqa: PLC0415  # needs msgspec
            simulate as simulate_crashes,
        )

        return simulate_crashes(seed)
    return drawing.simulate(seed)


def _tallies(seeds: range, jobs: int, *, crashes: bool) -> Iterator[_Tally]:
    run = partial(_run, crashes=crashes)
    batches = [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]
    with ExitStack() as stack:
        if jobs > 1 and len(batches) > 1:
            # Spawned, like everywhere: a fork would copy whatever threads this process has.
            pool = multiprocessing.get_context("spawn").Pool(min(jobs, len(batches)))
            stack.enter_context(pool)
            yield from pool.imap_unordered(run, batches)
        else:
            yield from map(run, batches)


def _run(seeds: Iterable[int], *, crashes: bool) -> _Tally:
    outcomes = {seed: _simulate(seed, crashes=crashes).error for seed in seeds}
    failed = (seed for seed, error in outcomes.items() if error is not None)
    return _Tally(len(outcomes), tuple(failed))


def _progress(done: int, seeds: int, failed: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == seeds else ""
        sys.stderr.write(f"\r{done} of {seeds} seeds, {failed} failed{end}")
        sys.stderr.flush()


def _replay(seed: int, *, crashes: bool) -> int:
    played = _simulate(seed, crashes=crashes)
    if played.error is not None:
        _report(seed, crashes=crashes)
        return 1
    print(played.history.setting)
    play(played.history, tell=print)
    print(f"seed {seed} keeps every law")
    return 0


def _report(seed: int, *, crashes: bool) -> None:
    played = _simulate(seed, crashes=crashes)
    which = f"--crashes --seed {seed}" if crashes else f"--seed {seed}"
    smallest = shrink(played)
    print(f"\nseed {seed} breaks a law: {played.error}")
    print(f"replay it with:  python -m windlass.testing.simulate {which}")
    print(f"\ncut down from {len(played.history.steps)} steps to {len(smallest.history.steps)}:")
    print(smallest.history.setting)
    try:
        play(smallest.history, tell=print)
    except Exception as error:  # noqa: BLE001  # it is what was to be shown
        print(f"  !! {type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
