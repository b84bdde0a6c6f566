"""The frames between a manager and its worker processes.

Every frame is a header (length of the body, serial number of the call, kind) and a body. A worker
runs one call at a time; by the serial, what belongs to it is told from what comes too late: the
progress of a thread that outlived its task, a cancel that crossed the result.

Five pipes lead to each worker, because each has readers of its own:

========  =======================  =======================================================
calls     worker's main thread     the preparation, then CALL, REPLY, REFUSAL, LEAVE
turns     it, and the manager      serial numbers of calls that have not begun
reports   manager's event loop     READY or UNFIT, then SAID, ASKED, QUICK, DONE
control   worker's watch thread    serial numbers of calls to stop; closed: leave now
lifeline  the kernel               never written; closed: kill the whole session
========  =======================  =======================================================

A call that has not begun can be taken back. Whoever reads its number out of the pipe of turns has
it: the worker, to run it, or the manager, who keeps that end open too. Nobody can read a number
that was read, so there is no doubt, whatever state the worker is in. The numbers are written before
the calls they belong to; the worker skips a call whose number is not there.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct("<QQB")
SERIAL = struct.Struct("<Q")

# To the worker
CALL = 1  #    a packed call: run it if its turn is yours
REPLY = 2  #   the pickled reply to what was ASKED
REFUSAL = 3  # the packed exception that is the reply
LEAVE = 4  #   exit as a program does that is done

# From the worker
READY = 11  # it can take calls
UNFIT = 12  # it cannot, and the body says why
SAID = 13  #  (kind, payload), pickled, for ``Call.heard``
ASKED = 14  # the same, and the reply is waited for
DONE = 15  #  the packed outcome
QUICK = 16  # the packed outcome of a call that took no longer than ``QUICK_SECONDS``
ENDS = frozenset({DONE, QUICK})

QUICK_SECONDS = 0.000_06


def frame(kind: int, serial: int = 0, body: bytes = b"") -> bytes:
    """A whole frame, for bodies that are small enough to be copied."""
    return HEADER.pack(len(body), serial, kind) + body
