"""A GPU with room for two: small jobs share it, a big one has it alone, and nobody is starved."""

import time

from windlass import Gate, TaskManager, task

busy: list[str] = []
used: list[int] = []


def compute(name: str, seconds: float, size: int) -> None:
    busy.extend([name] * size)
    used.append(len(busy))
    time.sleep(seconds)
    busy[:] = [other for other in busy if other != name]


@task(gates=["gpu"])
def small(name: str) -> str:
    compute(name, 0.02, 1)
    return name


@task(gates={"gpu": 2})  # takes both slots, at once or not at all
def big(name: str) -> str:
    compute(name, 0.05, 2)
    return name


def on_cpu(name: str) -> str:  # needs no GPU, and waits for none
    return name


def main() -> None:
    with TaskManager(gates=[Gate("gpu", slots=2)]) as tm:
        before = tm.map(small, ["a", "b", "c", "d"])
        heavy = tm.submit(big, "heavy")
        after = tm.map(small, ["e", "f"])
        beside = tm.submit(on_cpu, "no gpu")
        order = [one.result() for one in tm.as_completed([*before, heavy, *after, beside])]
        turn = order.index("heavy")
        print("before the heavy one:", sorted(order[:turn]))
        print("after it:", sorted(order[turn + 1 :]), "and most in use was", max(used))
        tm.gate("gpu").slots = 1  # somebody else needs one; those who run are not disturbed
        later = tm.gather(*tm.map(small, "xyz")).result()
        print("later:", later, "with", tm.gate("gpu").slots, "slot")


if __name__ == "__main__":
    main()
