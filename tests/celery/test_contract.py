"""The contract of executors, with a real worker of four processes."""

from __future__ import annotations

import pytest

from windlass.testing import ExecutorContract


class TestCelery(ExecutorContract):
    own_workers = False

    @pytest.fixture
    def executor(self, program, worker):
        from windlass.celery import CeleryExecutor

        return CeleryExecutor(program.app, slots=4)
