"""A real Celery worker in processes of its own, to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

_HERE = Path(__file__).parent
_READY = " ready."
_PATIENCE = 60


class Worker:
    """A Celery worker, with child processes, started as its documentation says."""

    def __init__(
        self, address: str, *options: str, program: str = "far_program", broker: str = ""
    ) -> None:
        celery = str(Path(sys.executable).with_name("celery"))
        path = os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [celery, "-A", program, "worker", "--without-mingle", "-l", "INFO", *options],
            env={
                **os.environ,
                "WINDLASS_TEST_REDIS": address,
                "WINDLASS_TEST_BROKER": broker or os.environ.get("WINDLASS_TEST_BROKER", address),
                "PYTHONPATH": path,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if _READY in line:
                break
        else:
            raise RuntimeError("the worker did not start:\n" + "".join(self.lines))
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self._reader.start()  # or the pipe would be full, and the worker stand still

    def _read(self, stream: TextIO) -> None:
        for line in stream:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()

    def says(self, text: str) -> str:
        """Wait until it has written a line with ``text``; the line."""

        def found() -> list[str]:
            return [line for line in self.lines if text in line]

        with self._more:
            assert self._more.wait_for(found, _PATIENCE), self.lines[-20:]
            return found()[-1]

    def kill(self) -> None:
        """Kill the main process, and it alone, without a word."""
        self.process.kill()
        self._bury()

    def kill_all(self) -> None:
        """Kill it and its children at the same moment, as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self._bury()

    def stop(self) -> None:
        """End it and its children, in whatever state they are: a good-bye would take seconds."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._bury()

    def _bury(self) -> None:
        self.process.wait(_PATIENCE)
        assert self.process.stderr is not None
        if self.process.stderr.closed:
            return
        self._reader.join(_PATIENCE)
        self.process.stderr.close()
