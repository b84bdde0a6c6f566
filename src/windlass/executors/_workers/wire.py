"""The frames between a manager and its worker processes.

Every frame is a header (length of the body, serial number of the call, kind) and a body. A worker
has one call at a time, so the serial only tells what belongs to the current call from what comes
too late: the progress of a thread that outlived its task, a cancel that crossed the result.

Four pipes lead to each worker, because each has a reader of its own:

========  =======================  ==================================================
calls     worker's main thread     the preparation, then CALL, REPLY, REFUSAL, LEAVE
reports   manager's I/O thread     READY or UNFIT, then SAID, ASKED, DONE
control   worker's watch thread    serial numbers of calls to stop; closed: leave now
lifeline  the kernel               never written; closed: kill the whole session
========  =======================  ==================================================
"""

from __future__ import annotations

import struct

HEADER = struct.Struct("<QQB")
SERIAL = struct.Struct("<Q")

# To the worker
CALL = 1  #    a packed call: run it
REPLY = 2  #   the pickled reply to what was ASKED
REFUSAL = 3  # the packed exception that is the reply
LEAVE = 4  #   exit as a program does that is done

# From the worker
READY = 11  # it can take calls
UNFIT = 12  # it cannot, and the body says why
SAID = 13  #  (kind, payload), pickled, for ``Call.heard``
ASKED = 14  # the same, and the reply is waited for
DONE = 15  #  the packed outcome


def frame(kind: int, serial: int = 0, body: bytes = b"") -> bytes:
    """A whole frame, for bodies that are small enough to be copied."""
    return HEADER.pack(len(body), serial, kind) + body
