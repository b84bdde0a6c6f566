"""Who is sent calls ahead: the next ones, while it is still busy with one.

To sleep and to be woken costs a worker and its manager more than a small call does. So a worker
whose calls have been quick gets several at a time, and looks for the next one by itself. What waits
in its pipe counts as running, and must not do so for long:

- A worker is trusted with calls ahead when so many in a row, ``PROOF``, were quick. Then it has at
  most ``DEPTH`` of them, which take about a millisecond if they are quick as well.
- If one of them is not, those behind it are taken back: as soon as a worker is seen at the same
  call twice while another one is idle, and after ``PATIENCE`` more looks in any case, for it may
  just not have been given a processor. There is a look every ``LOOK_SECONDS``. Then others have
  them, or else the engine has them back, and no attempt is spent. The worker has to prove itself
  again.
- What was taken back never runs, and what could not be has begun: see ``wire``. So a stop, a kill
  or a crash hits one call only, and those behind it are taken back.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .member import Worker

DEPTH = 16
PROOF = 32
LOOK_SECONDS = 0.002
PATIENCE = 4


class Ahead:
    """See the module; used by the crew, on its loop."""

    def __init__(self) -> None:
        self.room = 0
        """How many calls could be ahead in all."""
        self.has_changed = False
        """Whether that is other than what the engine was told."""
        self._roomy: deque[Worker] = deque()
        """Trusted workers that may have room; each gets one call in turn."""

    def note(self, worker: Worker, *, quick: bool) -> None:
        """``worker`` has ended a call."""
        if not quick:
            worker.proof //= 2
        elif worker.proof < 2 * PROOF:
            worker.proof += 1
        if (worker.proof >= PROOF) is not worker.trusted:
            self.judge(worker)
        self.enlist(worker)

    def enlist(self, worker: Worker) -> None:
        """``worker`` may have room now."""
        if worker.trusted and not worker.listed:
            worker.listed = True
            self._roomy.append(worker)

    def distrust(self, worker: Worker) -> None:
        """``worker`` takes longer than it has led us to expect."""
        worker.proof = 0
        self.judge(worker)

    def judge(self, worker: Worker) -> None:
        """Find out whether ``worker`` is to be trusted now."""
        trusted = worker.proof >= PROOF and worker.is_fit
        if trusted is not worker.trusted:
            worker.trusted = trusted
            self.room += DEPTH - 1 if trusted else 1 - DEPTH
            self.has_changed = True

    def pick(self) -> Worker | None:
        """A busy worker that may have one more call."""
        roomy = self._roomy
        while roomy:
            worker = roomy[0]
            if worker.trusted and len(worker.calls) < DEPTH:
                roomy.rotate(-1)
                return worker
            worker.listed = False
            roomy.popleft()
        return None
