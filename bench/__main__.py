"""``python -m bench``: measure, and print what falls short."""

from __future__ import annotations

import argparse
import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from . import (
    cluster,
    coroutines,
    durable,
    durable_peers,
    gates,
    graphs,
    imports,
    interpreters,
    memory,
    peers,
    processes,
    report,
    stores,
    threads,
)
from .case import Case, Result, run

FAMILIES = (coroutines, threads, processes, graphs, gates, memory, stores, durable, imports)
PEERS = (*peers.CASES, *durable_peers.CASES, *cluster.CASES)
CASES: tuple[Case, ...] = tuple(case for family in FAMILIES for case in family.CASES)


def main() -> None:
    options = _arguments()
    cases = _chosen(options)
    if options.list:
        print(_listing(cases))
    elif options.pythons:
        _keep(options.json, interpreters.run_on_all(_passed_on(options, cases)))
    else:
        results = _measure(cases, options)
        _keep(options.json, [report.as_json(results)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench", description="What Windlass costs, beside its yardsticks."
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="which, by name or pattern")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--quick", action="store_true", help="small sizes: see that it runs")
    parser.add_argument("--rounds", type=int, metavar="N", help="measure N times, not 2 to 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument("--peers", action="store_true", help="measure other libraries as well")
    parser.add_argument("--pythons", action="store_true", help="run on every Python found")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Case]:
    """The cases that were asked for: all of them, or what the patterns match."""
    patterns: list[str] = options.cases
    if not patterns:
        return [*CASES, *PEERS] if options.peers or options.list else [*CASES]
    everything: list[Case] = [*CASES, *PEERS]
    for pattern in patterns:
        if not any(fnmatchcase(case.name, pattern) for case in everything):
            raise SystemExit(f"there is no case {pattern!r}; see python -m bench --list")
    return [
        case
        for case in everything
        if any(fnmatchcase(case.name, pattern) for pattern in patterns)
        or (options.peers and case in PEERS)
    ]


def _measure(cases: list[Case], options: argparse.Namespace) -> list[Result]:
    print(report.heading(), flush=True)
    if options.quick:
        print("quick: so small that the figures show only that it runs")
    results: list[Result] = []
    for case in cases:
        report.progress(f"{case.name} ...")
        results.append(run(case, quick=options.quick, rounds=options.rounds))
    report.progress("")
    print(report.table(results))
    short = report.shortfalls(results)
    if short:
        print("short of the budget:", ", ".join(result.case.name for result in short))
    return results


def _listing(cases: list[Case]) -> str:
    name_width = max(len(case.name) for case in cases)
    what_width = max(len(case.what) for case in cases)
    return "\n".join(
        f"{case.name:<{name_width}}  {case.what:<{what_width}}  beside {case.yardstick_name}"
        for case in cases
    )


def _passed_on(options: argparse.Namespace, cases: list[Case]) -> list[str]:
    """The same command line for another interpreter."""
    rounds = ["--rounds", str(options.rounds)] if options.rounds else []
    return [*(case.name for case in cases), *(["--quick"] if options.quick else []), *rounds]


def _keep(file: Path | None, runs: list[dict[str, Any]]) -> None:
    if file is not None:
        file.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
