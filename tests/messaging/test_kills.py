"""Consumers and Redis are killed at random: no message is lost, and each has one reply.

``WINDLASS_KILLS=500`` kills that often instead of twenty times.
"""

import os
import random
import sys
import threading
from collections import Counter
from time import sleep

import pytest

KILLS = int(os.environ.get("WINDLASS_KILLS", "20"))
_SILENT_SECONDS = 60


class Sender:
    """Sends one request after another, and keeps a record of those that Redis has confirmed."""

    def __init__(self, server) -> None:
        import redis

        self.confirmed: dict[str, int] = {}
        self._redis = redis
        self._server = server
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, name="sender")
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _send(self) -> None:
        number = 0
        with self._redis.Redis(port=self._server.port, decode_responses=True) as client:
            while not self._stopping.wait(0.004):
                number += 1
                try:
                    id = client.xadd("requests", {"number": number, "correlation_id": f"c{number}"})
                    self.confirmed[id] = number
                except (self._redis.RedisError, OSError):
                    pass  # killed: it may have been written or not, and is no part of the record


def replies_to(sender: Sender, server) -> list[dict[str, str]]:
    """All replies, once there is one for each message of the record."""
    import redis

    replies, last, missing, silent = [], "0", set(sender.confirmed), 0
    with redis.Redis(port=server.port, decode_responses=True) as client:
        while missing:
            answer = client.xread({"results": last}, block=1000)
            silent = 0 if answer else silent + 1
            assert silent < _SILENT_SECONDS, f"lost: {len(missing)} of {len(sender.confirmed)}"
            for _, entries in answer or ():
                for last, fields in entries:  # noqa: B007  # the next read goes on there
                    replies.append(fields)
                    missing.discard(fields["id"])
    return replies


@pytest.mark.timeout(150 + 2 * KILLS)
@pytest.mark.parametrize("file", ["-", "jobs.db"])
def test_no_message_is_lost_and_each_has_one_reply(file, mortal, consumers, tmp_path):
    draw = random.Random(os.environ.get("WINDLASS_KILLS_SEED", "7"))
    where = file if file == "-" else tmp_path / file
    alive = [consumers(mortal.url, where) for _ in range(3)]
    sender = Sender(mortal)
    killed = Counter()
    for _ in range(max(1, KILLS // 2)):
        sleep(draw.uniform(0.0, 0.3))  # a kill at a moment that nobody has chosen
        if draw.random() < 0.3:
            for consumer in alive:
                consumer.is_ready()  # one that finds no server when it begins says so and ends
            mortal.restart()
            killed["redis"] += 1
        else:
            victim = alive.pop(draw.randrange(3))
            victim.kill()
            alive.append(consumers(mortal.url, where))
            killed["consumer"] += 1
    sender.stop()
    replies = replies_to(sender, mortal)
    codes = [consumer.leave() for consumer in alive]
    log = (tmp_path / "record.log").read_text()
    assert codes == [0, 0, 0], log
    assert "Traceback" not in log
    count = Counter(reply["id"] for reply in replies)
    assert max(count.values()) == 1
    for reply in replies:
        number = sender.confirmed.get(reply["id"])
        if number is not None:
            assert (reply["correlation_id"], reply["result"]) == (f"c{number}", str(2 * number))
    runs = Counter(map(int, (tmp_path / "record.txt").read_text().split()))
    again = sum(runs[number] - 1 for number in sender.confirmed.values())
    figures = f"sent {len(sender.confirmed)}, lost 0, replied to twice 0, run again {again}"
    sys.stdout.write(f"{dict(killed)}: {figures}\n")
