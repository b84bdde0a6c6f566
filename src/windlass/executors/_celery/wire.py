"""What a manager and Celery workers say to each other, and where it stands in Redis.

Theory of operation
-------------------
A call goes out as a Celery message, a *letter*, to the one Celery task there is for this. All that
comes back stands in one Redis stream, the manager's *news*, which it reads with a blocking read::

    manager ──letter──▶ broker ──▶ worker        the user's own queues, routes and serialisers
       ▲                             │
       └──── news (a stream) ◀───────┤           begun, said, asked, ended, crashed
       ▲                             │
       └──── beats (a stream) ◀──────┘           every worker, once a second, for all managers
                                     ▲
    manager ──────── inbox (a list) ─┘           stop, and replies to what was asked

- **A letter is opened once.** It has a *key*, new for each attempt that is handed over, which
  stands in the manager's *flight* until the attempt has ended. Whoever wants to run it sets down
  its place beside that; only the first succeeds, in one step with the word that it has begun. To
  take a letter back is to strike it out. So a second copy does no harm, however late it comes, and
  the manager sends one whenever the first may be lost.
- **A worker is alive while its main process beats.** A task that keeps the interpreter busy does
  not hold up the beats, and the death of a single child process is told by its parent.
- **A name is one manager's at a time,** see ``holding``: two would take each other's news.
- **No news stream, no manager.** It expires when its manager is gone. Letters of a manager that is
  gone are dropped, and a manager that finds its stream gone knows that Redis has lost its data.
"""

from __future__ import annotations

TASK = "windlass.run"
"""The one Celery task, under which all others run."""

BEATS = "windlass:beats"
MANY_BEATS = 1_000
BEAT_EVERY = 1.0

# What stands in the news. Each has the key of its letter, and a body.
BEGUN, SAID, ASKED, ENDED, CRASHED = b"begun", b"said", b"asked", b"ended", b"crashed"

# What stands in an inbox.
STOP, REPLY, REFUSAL = "stop", "reply", "refusal"

# KEYS: flight, opened, news. ARGV: key, place.
# 1: it is yours; 0: it was opened or taken back, or has ended; -1: the manager is gone.
OPEN_LETTER = """
if redis.call('EXISTS', KEYS[3]) == 0 then return -1 end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('EXPIRE', KEYS[2], redis.call('TTL', KEYS[3]))
redis.call('XADD', KEYS[3], '*', 'kind', 'begun', 'key', ARGV[1], 'body', ARGV[2])
return 1
"""

# KEYS: flight, opened. ARGV: key. 1: nobody will open it; 0: somebody has.
TAKE_BACK = """
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
"""

# KEYS: news. ARGV: kind, key, body, most. What a manager that is away may miss is left out when
# it has been away for long.
SAY_IF_ROOM = """
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('XADD', KEYS[1], '*', 'kind', ARGV[1], 'key', ARGV[2], 'body', ARGV[3])
return 1
"""
MOST_UNREAD = 100_000

# KEYS: holder. ARGV: who wants the name, whom it may take the place of, seconds. Nil: it is theirs;
# else who has it.
TAKE_NAME = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and holder ~= ARGV[2] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
return false
"""

# KEYS: holder. ARGV: who gives it up.
GIVE_UP_NAME = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""


def news_of(manager: str) -> str:
    """The stream in which a manager hears of its tasks."""
    return f"windlass:{manager}:news"


def flight_of(manager: str) -> str:
    """The hash of what a manager has handed over: letter's key to task id."""
    return f"windlass:{manager}:flight"


def opened_of(manager: str) -> str:
    """The hash of who has opened what: letter's key to place."""
    return f"windlass:{manager}:opened"


def holder_of(manager: str) -> str:
    """The key that tells whose name it is, if it is one that is kept."""
    return f"windlass:{manager}:holder"


def inbox_of(process: str) -> str:
    """The list in which a worker's process is told things."""
    return f"windlass:{process}:inbox"


def id_of(manager: str, key: str) -> str:
    """The id by which Celery knows a letter. A manager's name has no slash in it."""
    return f"{manager}/{key}"


def manager_and_key(id: str) -> tuple[str, str]:
    """Whose letter that is, and its key."""
    manager, _, key = id.partition("/")
    return manager, key
