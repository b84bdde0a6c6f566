"""One contract for all executors."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from windlass.executors.coroutines import CoroutineExecutor
from windlass.executors.futures import FuturesExecutor
from windlass.executors.processes import ProcessExecutor
from windlass.executors.sequential import SequentialExecutor
from windlass.executors.threads import ThreadExecutor
from windlass.testing import ExecutorContract


class TestSequential(ExecutorContract):
    on_loop = True

    def make_executor(self):
        return SequentialExecutor()


class TestCoroutines(ExecutorContract):
    on_loop = True

    def make_executor(self):
        return CoroutineExecutor()


class TestThreads(ExecutorContract):
    def make_executor(self):
        return ThreadExecutor(3)


class TestProcesses(ExecutorContract):
    def make_executor(self):
        return ProcessExecutor(2)


class TestPoolOfThreads(ExecutorContract):
    own_workers = False

    def make_executor(self):
        return FuturesExecutor(ThreadPoolExecutor(3))

    def dispose(self, executor):
        executor.pool.shutdown()


@pytest.fixture(scope="module")
def whole_pool():
    """A pool of processes that many tests share; after one that breaks it there is another."""
    pools = []

    def get():
        try:
            pools[-1].submit(int).result(60)
        except (IndexError, BrokenExecutor):
            pools.append(ProcessPoolExecutor(2, mp_context=get_context("spawn")))
        return pools[-1]

    yield get
    for pool in pools:
        pool.shutdown()


class TestPoolOfProcesses(ExecutorContract):
    own_workers = False
    survives_crashes = False  # the standard library's pool is broken by it, for good

    @pytest.fixture
    def executor(self, whole_pool):
        return FuturesExecutor(whole_pool())


class TestDaskCluster(ExecutorContract):
    own_workers = False
    survives_crashes = False  # all that ran in the same process are lost with it

    @pytest.fixture
    def executor(self, dask_client):
        return FuturesExecutor(dask_client.get_executor(), slots=2)
