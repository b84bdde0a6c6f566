"""Two million small tasks through one file: memory stays flat, and the file bounded.

::

    python -m bench.soak [TASKS] [FOLDER]
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter  # noqa: TID251  # it measures itself, not tasks

from windlass import TaskManager, task

_BATCH = 1_000
_SHOWN = 20


@task
async def small(number: int) -> int:
    """Next to nothing."""
    return number


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _size(file: Path) -> float:
    return sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*")) / 1e6


async def soak(tasks: int, file: Path) -> None:
    """Run so many tasks, and show now and then what they cost."""
    began = perf_counter()
    async with TaskManager(
        file, durability="normal", keep_count=20_000, retention_count=1_000
    ) as manager:
        for done in range(_BATCH, tasks + 1, _BATCH):
            handles = [manager.submit(small, number) for number in range(_BATCH)]
            await manager.gather(*handles)
            if done % (tasks // _SHOWN) == 0:
                seconds = perf_counter() - began
                print(
                    f"{done:>9,} tasks  {done / seconds:>7,.0f}/s  {_resident():7.1f} MB in memory"
                    f"  {_size(file):7.1f} MB on disk",
                    flush=True,
                )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        count = int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 2_000_000
        asyncio.run(soak(count, Path(folder) / "soak.db"))
