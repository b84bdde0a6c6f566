"""The lock is never held twice, and the limit is never passed."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import pytest
from redis_server import RedisServer

from ailf.messaging import _locks
from ailf.messaging.redis import RedisClient, RedisConfig, RedisLock, RedisRateLimiter

HOLDER = """
import sys
from ailf.messaging import _locks
from ailf.messaging.redis import RedisClient, RedisConfig, RedisLock
_locks._SETTLING = 3
lock = RedisLock("job", 30, RedisClient(RedisConfig(port=int(sys.argv[1]))))
print(lock.acquire(), flush=True)
sys.stdin.readline()
print(lock.held, flush=True)
sys.stdin.readline()
print(lock.release(), flush=True)
"""
COUNTER = """
import sys
from ailf.messaging.redis import RedisClient, RedisConfig, RedisLock
client = RedisClient(RedisConfig(port=int(sys.argv[1])))
lock = RedisLock("counter", redis_client=client)
for _ in range(int(sys.argv[2])):
    with lock.acquire_context(retry=1000, retry_delay=0.001) as acquired:
        assert acquired
        client.set("counter", int(client.get("counter")) + 1)  # two at once would lose one
"""


def lock_of(server, name="job", expire=10.0):
    return RedisLock(name, expire, RedisClient(RedisConfig(port=server.port)))


@pytest.fixture(scope="module")
def settled(standing_server, redis_program, tmp_path_factory):
    """In the first seconds of a server's life a lock takes until they are over.

    A second one, which a test is to kill, lives through them beside the first.
    """
    doomed = RedisServer(redis_program, tmp_path_factory.mktemp("doomed"), durable=False)
    doomed.start()
    assert lock_of(standing_server, "first").acquire()
    gc.collect()
    yield doomed
    doomed.kill()


@pytest.fixture
def server(settled, server):
    return server


def test_one_holds_it_and_then_another(server):
    mine, yours = lock_of(server), lock_of(server)
    assert mine.acquire() is True
    assert mine.held
    assert yours.acquire(retry=1, retry_delay=0.01) is False
    assert not yours.held
    assert yours.release() is False, "what is not held is not released"
    assert mine.release() is True
    assert mine.release() is False
    assert yours.acquire() is True
    assert yours.release() is True
    assert lock_of(server, "other name").acquire()


def test_a_second_acquire_does_not_lose_the_token(server):
    lock = lock_of(server)
    assert lock.acquire()
    token = lock.token
    assert lock.acquire(retry=0) is False, "this object has it already"
    assert lock.token == token
    assert lock.release() is True
    assert lock.acquire(retry=0) is True
    lock.release()


def test_it_waits_as_often_as_it_is_told(server):
    yours = lock_of(server)
    redis = yours.client.client
    redis.set("lock:job", "somebody else's")

    def tries():
        return redis.info("commandstats")["cmdstat_eval"]["calls"]

    before = tries()
    assert yours.acquire(retry=3, retry_delay=0.01) is False
    assert tries() == before + 4
    threading.Timer(0.1, redis.delete, ["lock:job"]).start()
    assert yours.acquire(retry=100_000, retry_delay=0.01) is True
    yours.release()


def test_the_context(server):
    mine, yours = lock_of(server), lock_of(server)
    with mine.acquire_context() as acquired:
        assert acquired
        with yours.acquire_context(retry=0) as second:
            assert not second
        assert mine.held, "who did not get it does not release it"
    with pytest.raises(KeyError), yours.acquire_context():
        raise KeyError
    assert mine.acquire(retry=0)
    mine.release()


def wait_for_its_renewal(lock):
    left = lock.client.client.pttl(lock.lock_name)
    while (now := lock.client.client.pttl(lock.lock_name)) <= left:
        left = now
        sleep(0.01)


def test_it_is_renewed_while_it_is_held(server):
    mine, yours = lock_of(server, expire=30), lock_of(server)
    assert mine.acquire()
    wait_for_its_renewal(mine)
    assert yours.acquire(retry=0) is False
    assert mine.held
    assert mine.release()


def test_a_lock_that_nobody_has_in_hand_expires(server):
    lost = lock_of(server, expire=30)
    assert lost.acquire()
    wait_for_its_renewal(lost)
    (keeper,) = (thread for thread in threading.enumerate() if thread.name == "ailf-lock")
    del lost
    gc.collect()
    keeper.join()
    take_what_nobody_renews(server)


def test_the_lock_of_a_killed_process_expires(server, other_process):
    holder = other_process(HOLDER, server.port)
    assert holder.stdout.readline() == "True\n"
    holder.kill()
    holder.wait()
    take_what_nobody_renews(server)


def take_what_nobody_renews(server):
    """The lock was to expire in seconds; it is told to do so in milliseconds, and does."""
    yours = lock_of(server)
    assert yours.acquire(retry=0) is False
    assert 0 < yours.client.client.pttl("lock:job") <= 30_000
    yours.client.client.pexpire("lock:job", 100)
    assert yours.acquire(retry=1000, retry_delay=0.05)
    yours.release()


def test_two_processes_and_eight_threads_count_together(server, other_process):
    client = RedisClient(RedisConfig(port=server.port))
    client.set("counter", 0)
    other = other_process(COUNTER, server.port, 100)

    def count():
        lock = lock_of(server, "counter")
        for _ in range(25):
            with lock.acquire_context(retry=10_000, retry_delay=0.001) as acquired:
                assert acquired
                client.set("counter", int(client.get("counter")) + 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.wait() == 0
    assert client.get("counter") == "300"
    client.close()


def test_a_lock_that_was_taken_away_says_so(server, caplog):
    mine = lock_of(server, expire=30)
    assert mine.acquire()
    mine.client.set("lock:job", "somebody else's")
    while "lost the lock lock:job" not in caplog.text:
        sleep(0.02)
    assert not mine.held
    assert mine.release() is False
    assert mine.client.get("lock:job") == "somebody else's"


def test_only_what_is_ones_own_is_released(server):
    mine = lock_of(server)
    assert mine.acquire()
    mine.client.set("lock:job", "somebody else's")  # and nobody has noticed yet
    assert mine.release() is False
    assert mine.client.get("lock:job") == "somebody else's"


@pytest.fixture
def mortal_servers(redis_program, tmp_path):
    """One that has on disk what it has confirmed, and one that forgets it all."""
    servers = []
    for durable in (True, False):
        folder = tmp_path / f"durable-{durable}"
        folder.mkdir()
        servers.append(RedisServer(redis_program, folder, durable=durable))
        servers[-1].start()
    yield servers
    for server in servers:
        server.kill()


def test_it_is_not_held_twice_when_the_server_is_killed(mortal_servers, other_process, monkeypatch):
    monkeypatch.setattr(_locks, "_SETTLING", 3)  # a holder on a busy machine may be late
    holders = [other_process(HOLDER, server.port) for server in mortal_servers]

    def kill(server, holder):
        assert holder.stdout.readline() == "True\n"
        server.restart()
        newcomer = lock_of(server)
        for _ in range(3):
            assert newcomer.acquire(retry=2, retry_delay=0.1) is False
        for answer in ("True\n", "True\n"):  # it is held still, and is released
            holder.stdin.write("\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == answer
        assert newcomer.acquire() is True
        newcomer.release()

    with ThreadPoolExecutor() as both:  # each waits for seconds until its server has settled
        list(both.map(kill, mortal_servers, holders))


def test_a_holder_without_a_server_loses_it_in_time(settled, caplog):
    lock, other = lock_of(settled, expire=1), lock_of(settled, "other", expire=600)
    assert lock.acquire()
    assert other.acquire()
    settled.kill()
    sleep(1.1)
    assert not lock.held
    while "lost the lock lock:job" not in caplog.text:
        sleep(0.02)
    assert lock.release() is False
    assert other.held, "the server may come back with it"
    with pytest.raises(ConnectionError, match="tried for"):
        other.release()
    assert not other.held


# -- the limit -------------------------------------------------------------------------------------


def test_never_more_than_the_rate(server):
    client = RedisClient(RedisConfig(port=server.port))
    limiter = RedisRateLimiter("api", rate=5, period=600, redis_client=client)
    assert [limiter.is_allowed("user") for _ in range(8)] == [True] * 5 + [False] * 3
    assert limiter.is_allowed("another user")


def test_after_its_period_it_is_allowed_again(server):
    client = RedisClient(RedisConfig(port=server.port))
    limiter = RedisRateLimiter("api", rate=1, period=0.2, redis_client=client)
    for _ in range(3):
        while not limiter.is_allowed("user"):
            pass


def test_never_more_than_the_rate_in_any_window_from_eight_threads(server):
    client = RedisClient(RedisConfig(port=server.port))
    limiter = RedisRateLimiter("api", rate=20, period=0.3, redis_client=client)
    allowed = []

    def ask():
        while len(allowed) < 70:
            before = monotonic()
            if limiter.is_allowed("all"):
                allowed.append((before, monotonic()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each was allowed at some moment between the two: no window of a period holds more than 20
    # that lie wholly inside.
    for start, _ in allowed:
        inside = [1 for before, after in allowed if start <= before and after < start + 0.3]
        assert len(inside) <= 20
    client.close()


@pytest.mark.parametrize(("rate", "period"), [(0, 1), (5, 0), (5, -1)])
def test_a_limit_that_is_none_is_refused(rate, period):
    with pytest.raises(ValueError, match="have to be more than zero"):
        RedisRateLimiter("api", rate, period)


def test_a_lock_that_expires_at_once_is_refused():
    with pytest.raises(ValueError, match="expire must be more than zero"):
        RedisLock("job", 0)
