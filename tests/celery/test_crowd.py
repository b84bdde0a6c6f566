"""Many tasks are with Celery at once, and those who wait for them do next to nothing.

``WINDLASS_CROWD=10000`` has that many of them.
"""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest
from cable import Cable
from test_faults import LIMIT, app_at

from windlass import TaskManager
from windlass.testing.contracts.gate import Gate

CROWD = int(os.environ.get("WINDLASS_CROWD", "1000"))
WAIT = 2.0
PROCESSES = 2


@pytest.mark.timeout(120 + CROWD // 50)
def test_a_crowd_in_flight_takes_no_more_connections_and_no_time(server, own_worker, program):
    from windlass.celery import CeleryExecutor

    gate, cable = Gate(LIMIT), Cable(server.port)
    own_worker("-c", str(PROCESSES), "-Q", "crowd")
    executor = CeleryExecutor(
        app_at(cable.url), redis=cable.url, queue="crowd", slots=CROWD, start_timeout=600.0
    )
    with TaskManager(executors={"celery": executor}) as manager:
        visits = [manager.submit(program.visit, gate.address) for _ in range(PROCESSES)]
        visitors = [gate.arrival() for _ in range(PROCESSES)]
        began = time.process_time()
        rest = [manager.submit(program.add, n) for n in range(CROWD - PROCESSES)]
        flights, engine = executor._flights, manager._runtime.engine
        in_the_air = manager._doors.when(lambda: len(engine.claimed) == len(rest), "handing over")
        in_the_air.result(LIMIT)
        sent = threading.Event()
        executor._post.do(lambda _: sent.set(), None)  # it is done behind all letters
        assert sent.wait(LIMIT + CROWD / 100)
        sending = time.process_time() - began
        assert all(flight.sent_at is not None for flight in flights.unopened())
        began = time.process_time()
        threading.Event().wait(WAIT)
        waiting = time.process_time() - began
        connections = cable.connections
        assert len(engine.claimed) == len(rest)
        for visitor in visitors:
            visitor.let_go()
        manager.gather(*visits, *rest).result(LIMIT + CROWD / 50)
        assert [handle.result(0) for handle in rest] == [*range(CROWD - PROCESSES)]
        assert engine.stale_reports == 0
    gate.close()
    cable.close()
    # One to Redis and one from it; Celery's client makes itself two to a broker that is Redis.
    assert connections <= 4
    assert waiting < 0.05 * WAIT
    sys.stdout.write(
        f"{CROWD} in flight: {connections} connections, {waiting / WAIT:.1%} of a core while they "
        f"wait; {sending / CROWD * 1e3:.2f} ms of it to send one\n"
    )
