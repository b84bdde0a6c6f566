"""What only the file knows, and is asked for by several at once."""

import threading
from contextlib import suppress

from windlass import TaskManager

from .stage import SOON, add


def test_who_is_asked_for_by_two_at_once_is_one_job(jobs):
    both_miss = threading.Barrier(2)

    class Known(dict):
        def __getitem__(self, key):
            if key not in self:  # whoever is kept out until the other is done does not come
                with suppress(threading.BrokenBarrierError):
                    both_miss.wait(0.2)
                raise KeyError(key)
            return super().__getitem__(key)

    with TaskManager(jobs) as leader, TaskManager(jobs, role="client") as client:
        done = leader.submit(add, 1)
        done.result(SOON)
        archive, found = client._runtime.durable, []
        archive.mine.data = Known()
        asking = [
            threading.Thread(target=lambda: found.append(archive.recall(done.id))) for _ in range(2)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(SOON)
    assert [job.id for job in found] == [done.id] * 2
    assert found[0] is found[1]
