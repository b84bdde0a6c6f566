"""First steps: functions become tasks, a task's result is awaited, or passed on to another task."""

import asyncio
import time

from windlass import TaskManager


async def fetch(city: str) -> str:
    await asyncio.sleep(0.2)  # a slow network
    return f"{city}: 21 degrees, sunny"


def degrees(report: str) -> int:
    time.sleep(0.1)  # a plain function may block: it runs in a thread
    return int(report.split()[1])


async def main() -> None:
    async with TaskManager() as tm:
        # Submitting takes no time and waits for nothing. What comes back is a handle.
        report = tm.submit(fetch, "Oslo")
        print("submitted:", report.name, report.status)

        # An output as an argument is a dependency: this one starts when the report is there.
        number = tm.submit(degrees, report.output)
        print("meanwhile:", number.name, number.status)

        print("the report:", await report)
        print("in Fahrenheit:", await number * 9 // 5 + 32)

        # Many at once: all of them run at the same time.
        for report in await tm.gather(*tm.map(fetch, ["Rome", "Lima", "Cairo", "Kyoto"])):
            print("  ", report)


if __name__ == "__main__":
    asyncio.run(main())
