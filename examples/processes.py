"""Processes: work for processors gets its own, which is really killed when it has to end."""

import os

from windlass import TaskCrashedError, TaskManager, TaskTimeoutError, current_task, task


@task(executor="process")
def count_primes(below: int) -> tuple[int, int]:
    current_task().progress(0.5, "counting")  # crosses over, as cancelling does
    found = sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, below))
    return found, os.getpid()


@task(executor="process", timeout=0.3)
def stuck() -> None:
    while True:
        pass


@task(executor="process", max_crashes=1)
def crash() -> None:
    os._exit(3)  # as abrupt as a segmentation fault


def main() -> None:
    with TaskManager(processes=2) as tm:
        results = [handle.result() for handle in tm.map(count_primes, [10_000, 20_000])]
        print("primes:", [found for found, _ in results])
        print("elsewhere:", all(pid != os.getpid() for _, pid in results))

        hanging, dying = tm.submit(stuck), tm.submit(crash)
        try:
            hanging.result()
        except TaskTimeoutError:
            print("killed: no loop is endless")
        try:
            dying.result()
        except TaskCrashedError as error:
            print("crashed:", "exited with code 3" in str(error))

        # Neither has cost anything but itself.
        print("and on it goes:", tm.submit(count_primes, 100).result()[0])


if __name__ == "__main__":
    main()
