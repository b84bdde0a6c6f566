"""An API that takes ten calls in half a second, and is down for a while: one gate minds both."""

import asyncio
from collections import deque

from windlass import Breaker, Gate, GateChange, Rate, Retry, TaskManager, task


class Weather:
    """Somebody else's service. It counts, and it breaks down at its eleventh call."""

    def __init__(self):
        self.calls, self.recent = 0, deque(maxlen=11)

    async def ask(self, city: int) -> str:
        self.calls += 1
        self.recent.append(asyncio.get_running_loop().time())
        if len(self.recent) == 11 and self.recent[-1] - self.recent[0] < 0.4:  # it is no stickler
            raise RuntimeError("too many calls: your account is blocked")
        if 11 <= self.calls <= 15:
            raise ConnectionError("we are down, please stay calm")
        return f"{city} degrees"


service = Weather()


@task(gates=["weather"], retry=Retry(retries=9, delay=0.01, on=ConnectionError))
async def fetch(city: int) -> str:
    return await service.ask(city)


def tell(batch):
    for change in batch:
        if isinstance(change, GateChange):
            print(f"the gate is {change.after}")


async def main() -> None:
    breaker = Breaker(3, reset=0.2, on=ConnectionError)  # three failures in a row
    weather = Gate("weather", slots=1, rate=Rate(10, per=0.5), breaker=breaker)
    async with TaskManager(gates=[weather]) as tm:
        tm.subscribe(tell)
        answers = await tm.gather(*tm.map(fetch, range(25)))
        print(await tm.submit(len, answers), "answers from", service.calls, "calls")


if __name__ == "__main__":
    asyncio.run(main())
