"""The store in a SQLite file: whose file it is, its versions, and all that can be wrong with it."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from windlass.errors import (
    StoreCorruptError,
    StoreError,
    StoreFencedError,
    StoreFullError,
    StoreLockedError,
)
from windlass.stores import schema
from windlass.stores.sqlite import SqliteStore
from windlass.testing.contracts.stores import batch, row, updates


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tasks.db"


@pytest.fixture
def store(file):
    store = SqliteStore(file, patience=0.05)
    store.open()
    yield store
    store.close()


def fill(file, count=2_000):
    store = SqliteStore(file)
    store.open()
    store.commit(store.take_lead(), batch(inserts=[row(n) for n in range(1, count + 1)]))
    store.close()


def ask(file, sql):
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


def run_child(program, *arguments):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- whose file it is ------------------------------------------------------------------------------


@pytest.fixture
def users_file(file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA user_version = 7")
        connection.execute("PRAGMA application_id = 8")
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("INSERT INTO orders (text) VALUES (?)", ["x" * 100_000])
        connection.commit()
    return file


def test_a_users_file_stays_the_users(users_file):
    fill(users_file, 100)
    assert ask(users_file, "PRAGMA user_version") == [(7,)]
    assert ask(users_file, "PRAGMA application_id") == [(8,)]
    assert ask(users_file, "PRAGMA auto_vacuum") == [(2,)]
    assert ask(users_file, "SELECT length(text) FROM orders") == [(100_000,)]
    names = {name for (name,) in ask(users_file, "SELECT name FROM sqlite_master")}
    ours = {name for name in names if "windlass_" in name}
    assert names - ours == {"orders"}
    # An index that SQLite makes for a constraint bears the name of its table.
    assert all(name.removeprefix("sqlite_autoindex_").startswith("windlass_") for name in ours)


def test_room_in_a_users_file_is_not_given_back(users_file):
    with closing(sqlite3.connect(users_file)) as connection:
        connection.execute("DELETE FROM orders")
        connection.commit()
    store = SqliteStore(users_file)
    store.open()
    free = ask(users_file, "PRAGMA freelist_count")
    store.shrink()
    store.close()
    assert ask(users_file, "PRAGMA freelist_count") == free > [(0,)]


def test_room_in_our_file_is_given_back(file, store):
    epoch = store.take_lead()
    store.commit(epoch, batch(inserts=[row(n, call=bytes(4_000)) for n in range(5_000)]))
    store.commit(epoch, batch(deletes=list(range(5_000))))
    store.shrink()
    assert file.stat().st_size < 200_000
    assert Path(f"{file}-wal").stat().st_size == 0


def test_a_request_within_the_callers_transaction(users_file):
    store = SqliteStore(users_file)
    store.open()
    with closing(sqlite3.connect(users_file)) as connection:
        connection.execute("INSERT INTO orders (text) VALUES ('a')")
        store.post_in(connection, "k", b"rolled back")
        connection.rollback()
        connection.execute("INSERT INTO orders (text) VALUES ('b')")
        number = store.post_in(connection, "k", b"kept")
        assert store.requests() == []
        connection.commit()
    assert store.requests() == [(number, "k", b"kept")]
    store.close()


def test_a_request_in_another_file_is_refused(store, tmp_path):
    for place in (":memory:", tmp_path / "other.db"):
        with (
            closing(sqlite3.connect(place)) as connection,
            pytest.raises(StoreError, match="cannot span both"),
        ):
            store.post_in(connection, "k", b"")


def test_the_file_is_found_again_after_a_change_of_folder(file, store, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    relative = SqliteStore(file.name)
    monkeypatch.chdir(tmp_path / "elsewhere")
    relative.open()
    store.write_note("a", "text")
    assert relative.read_note("a") == "text"
    relative.close()


def test_a_file_with_an_awkward_name(tmp_path):
    fill(tmp_path / "100% what? #1 ü'.db", 1)
    assert [p.name for p in tmp_path.iterdir()] == ["100% what? #1 ü'.db"]


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
def test_durability_is_what_sqlite_is_told(file, durability, synchronous):
    store = SqliteStore(file, durability=durability)
    store.open()
    with store._connections.maintaining() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


# -- versions --------------------------------------------------------------------------------------


def test_a_later_version_is_refused_and_left_alone(file):
    fill(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE windlass_state SET value = 99 WHERE name = 'schema'")
        connection.commit()
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"later version.*99.*up to 2\. Upgrade Windlass"):
        SqliteStore(file).open()
    assert file.read_bytes() == before


def test_an_old_sqlite_is_refused_before_anything_is_made(file, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 3))
    with pytest.raises(StoreError, match=r"tasks\.db needs SQLite 3\.33 or later"):
        SqliteStore(file).open()
    assert not file.exists()


def test_an_earlier_version_is_brought_up_to_date(file, monkeypatch):
    fill(file, 10)
    step = ("ALTER TABLE windlass_tasks ADD COLUMN flavour TEXT", "CREATE TABLE windlass_x (y)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    store = SqliteStore(file)
    store.open()
    assert store.counts() == {"pending": 10}
    assert list(store.unfinished()) == [row(n) for n in range(1, 11)]
    store.close()
    store.open()  # nothing is done twice
    store.close()
    assert ask(file, "SELECT value FROM windlass_state WHERE name = 'schema'") == [(3,)]
    assert ask(file, "SELECT flavour FROM windlass_tasks WHERE seq = 1") == [(None,)]


def test_aliases_of_the_first_version_go_with_their_tasks(file, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        store = SqliteStore(file)
        store.open()
        store.close()
    with closing(sqlite3.connect(file)) as connection:
        notes = [("alias:t-9", "t-1"), ("leader", "t-1")]
        connection.executemany("INSERT INTO windlass_notes (name, text) VALUES (?, ?)", notes)
        connection.commit()
    fill(file, 1)
    store.open()
    store.commit(store.take_lead(), batch(deletes=[1]))
    store.close()
    assert ask(file, "SELECT name FROM windlass_notes") == [("leader",)]


def test_a_migration_that_fails_leaves_everything_as_it_was(file, monkeypatch):
    fill(file, 10)
    step = ("CREATE TABLE windlass_x (y)", "ALTER TABLE windlass_nothing ADD COLUMN z")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
        with pytest.raises(StoreError, match="windlass_nothing"):
            SqliteStore(file).open()
    assert ask(file, "SELECT name FROM sqlite_master WHERE name = 'windlass_x'") == []
    fill_again = SqliteStore(file)
    fill_again.open()
    assert fill_again.counts() == {"pending": 10}
    fill_again.close()


def test_many_may_open_a_new_file_at_once(file):
    together = threading.Barrier(8)
    errors = []

    def open_it():
        store = SqliteStore(file, patience=60)
        together.wait(60)
        try:
            store.open()
            store.post([("k", b"")])
            store.close()
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert ask(file, "SELECT count(*) FROM windlass_requests") == [(8,)]
    assert ask(file, "SELECT value FROM windlass_state WHERE name = 'created_by_us'") == [(1,)]


# -- what can be wrong -----------------------------------------------------------------------------


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(StoreError, match=r"there is no folder .*missing\. Make it first"):
        SqliteStore(tmp_path / "missing" / "tasks.db").open()


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(StoreError, match="is a folder: name a file in it"):
        SqliteStore(tmp_path).open()


def test_a_file_of_another_kind(file):
    file.write_text("Dear diary, " * 1_000)
    with pytest.raises(StoreCorruptError, match=r"tasks\.db is damaged: file is not a database"):
        SqliteStore(file).open()
    assert file.read_text() == "Dear diary, " * 1_000


def test_a_truncated_file(file):
    fill(file)
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(StoreCorruptError, match="restore a backup"):
        read_everything(file)


def read_everything(file):
    store = SqliteStore(file)
    try:
        store.open()
        found = [*store.unfinished(), *store.finished()]
        store.commit(store.take_lead(), batch(updates=updates(range(2_000), "completed")))
        return found
    finally:
        store.close()


@pytest.mark.parametrize("seed", range(25))
def test_flipped_bits_are_damage_or_go_unnoticed_but_nothing_else(file, seed):
    fill(file)
    dice = random.Random(seed)
    content = bytearray(file.read_bytes())
    for _ in range(40):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    file.write_bytes(content)
    said = str(file)
    try:
        read_everything(file)
    except StoreError as error:
        said = str(error)
    assert str(file) in said


def test_damage_in_one_text_is_not_overlooked_in_those_that_are_read_after_it(file, store):
    store.commit(store.take_lead(), batch(inserts=[row(1)]))
    with store._connections.maintaining() as connection:
        connection.execute("UPDATE windlass_tasks SET function = CAST(x'66ff' AS TEXT)")
    assert store.rows(["t-1"])["t-1"].function == "f\N{REPLACEMENT CHARACTER}"
    with pytest.raises(StoreCorruptError), store._connections.reading() as connection:
        connection.execute("SELECT function FROM windlass_tasks").fetchall()


def test_somebody_elses_long_transaction(file, store):
    epoch = store.take_lead()
    store.commit(epoch, batch(inserts=[row(1)]))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for write in (
            lambda: store.commit(epoch, batch(inserts=[row(2)])),
            lambda: store.post([("k", b"")]),
            store.take_lead,
        ):
            with pytest.raises(StoreLockedError, match=r"tasks\.db: database is locked"):
                write()
        assert store.counts() == {"pending": 1}
        second = SqliteStore(file, patience=0.05)  # a file that is up to date need not be written
        second.open()
        second.close()
        other.execute("COMMIT")
    store.commit(epoch, batch(inserts=[row(2)]))
    assert store.counts() == {"pending": 2}


def test_writers_wait_for_each_other(file):
    leader, client = SqliteStore(file, patience=60), SqliteStore(file, patience=20)
    leader.open()
    client.open()
    epoch = leader.take_lead()
    poster = threading.Thread(target=lambda: [client.post([("k", b"")]) for _ in range(300)])
    poster.start()
    for seq in range(300):
        leader.commit(epoch, batch(inserts=[row(seq)]))
    poster.join(60)
    assert (len(leader.requests()), leader.counts()) == (300, {"pending": 300})
    client.close()
    leader.close()


def test_a_file_that_cannot_be_switched_now(users_file):
    with closing(sqlite3.connect(users_file, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM orders").fetchall()
        with pytest.raises(StoreLockedError):
            SqliteStore(users_file, patience=0.05).open()
    fill(users_file, 1)


def test_a_file_that_has_gone(file, store):
    epoch = store.take_lead()
    file.rename(f"{file}.old")
    for _ in range(2):
        with pytest.raises(StoreError, match="moved, replaced or deleted"):
            store.commit(epoch, batch(inserts=[row(1)]))
        fill(file, 1)  # another takes its place


def test_what_sqlite_cannot_take(store):
    epoch = store.take_lead()
    for wrong in (row(1, key="\ud800"), row(2**70), row(1, call=None)):
        with pytest.raises(StoreError, match="refused what was to be stored"):
            store.commit(epoch, batch(inserts=[row(5), wrong]))
    assert store.counts() == {}


def test_only_a_few_readers_are_kept(store):
    readers = [store._connections.reading() for _ in range(9)]
    for reader in readers:
        reader.__enter__()
    for reader in readers:
        reader.__exit__(None, None, None)
    assert len(store._connections._idle) == 4


def test_a_reader_cannot_write(store):
    with (
        pytest.raises(StoreError, match="cannot be written"),
        store._connections.reading() as connection,
    ):
        connection.execute("DELETE FROM windlass_tasks")


def test_whoever_reads_while_it_is_closed_is_not_disturbed(file, store):
    with store._connections.reading() as connection:
        store.close()
        assert connection.execute("SELECT count(*) FROM windlass_tasks").fetchone() == (0,)
    with pytest.raises(StoreError, match="not open"):
        store.counts()


# -- disks -----------------------------------------------------------------------------------------

FILLING = """
import resource, sys
from windlass.errors import StoreFullError
from windlass.stores.sqlite import SqliteStore
from windlass.testing.contracts.stores import batch, row

file, limit = sys.argv[1], int(sys.argv[2])
store = SqliteStore(file)
store.open()
epoch = store.take_lead()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
seq = 0
try:
    while seq < 100_000:
        store.commit(epoch, batch(inserts=[row(seq + n, call=bytes(500)) for n in range(20)]))
        seq += 20
except StoreFullError as error:
    assert file in str(error) and "Make room" in str(error), error
assert store.counts() == {"pending": seq} and seq < 100_000
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    store.commit(epoch, batch(inserts=[row(seq)]))
else:
    store.commit(epoch, batch(deletes=[0]))  # there is room for that, in the file
store.close()
print(seq)
"""


def test_a_limit_on_the_size_of_files(file):
    seq = int(run_child(FILLING, str(file), "300000"))
    assert ask(file, "SELECT count(*) FROM windlass_tasks") == [(seq + 1,)]
    assert ask(file, "PRAGMA integrity_check") == [("ok",)]


def mount(*arguments):
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=512k", "none", str(place)):
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(small_disk):
    file = small_disk / "tasks.db"
    seq = int(run_child(FILLING, str(file), "0"))
    assert ask(file, "SELECT count(*) FROM windlass_tasks") == [(seq - 1,)]
    assert ask(file, "PRAGMA integrity_check") == [("ok",)]


def test_no_room_for_a_new_file(small_disk):
    with (
        (small_disk / "ballast").open("wb", buffering=0) as ballast,
        pytest.raises(OSError, match="No space"),
    ):
        while True:
            ballast.write(bytes(4096))
    with pytest.raises(StoreFullError, match="cannot grow"):
        SqliteStore(small_disk / "tasks.db").open()


@pytest.fixture
def made_read_only(tmp_path):
    """A folder, and what makes it and all in it read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:

        def protect():
            for path in (*place.iterdir(), place):
                path.chmod(0o555 if path.is_dir() else 0o444)

        yield place, protect
        place.chmod(0o755)
        return
    # Rights say nothing to root.
    if not mount("-t", "tmpfs", "none", str(place)):
        pytest.skip("root can write everywhere, and mounting is not allowed here")
    yield place, lambda: mount("-o", "remount,ro", str(place))
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_read_only_folder(made_read_only):
    place, protect = made_read_only
    fill(place / "tasks.db", 10)
    protect()
    for name in ("tasks.db", "new.db"):
        store = SqliteStore(place / name)
        with pytest.raises(StoreError, match=r"Give this user the right"):
            store.open()
            store.take_lead()
        store.close()


# -- processes that die or fork --------------------------------------------------------------------

COMMITTING = """
import sys
from windlass.stores.sqlite import SqliteStore
from windlass.testing.contracts.stores import batch, row, updates

file, durability = sys.argv[1:]
store = SqliteStore(file, durability=durability)
store.open()
epoch = store.take_lead()
number = store.last_seq() // 50 + 1
while True:
    seqs = range(number * 50, number * 50 + 50)
    store.commit(epoch, batch(
        inserts=[row(seq, call=bytes(seq % 300)) for seq in seqs],
        updates=updates((seq - 50 for seq in seqs), "completed"),
        deletes=[seq - 500 for seq in seqs],
        news=str(number).encode(),
    ))
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_what_was_acknowledged_survives_its_process(file, durability):
    dice = random.Random(5)
    for _ in range(6):
        command = [sys.executable, "-c", COMMITTING, str(file), durability]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            for _ in range(dice.randrange(1, 120)):
                child.stdout.readline()
            child.kill()
            acknowledged = int(child.stdout.read().split("\n")[-2:][0] or 0)
        store = SqliteStore(file)
        store.open()
        last = store.last_seq() // 50
        # At most the one batch more whose word had not yet come out of the process.
        assert acknowledged <= last
        assert store.last_seq() == last * 50 + 49
        assert [task.seq // 50 for task in store.unfinished()] == [last] * 50
        ended = [task.seq for task in reversed(store.finished())]
        assert ended == list(range(max(1, last - 9) * 50, last * 50))
        assert store.news(0)[-1][1] == str(last).encode()
        store.close()
        assert ask(file, "PRAGMA integrity_check") == [("ok",)]


FORKING = """
import gc, os, sqlite3, sys, threading
from windlass.errors import StoreError
from windlass.stores.sqlite import SqliteStore
from windlass.testing.contracts.stores import batch, row

file = sys.argv[1]
store = SqliteStore(file)
store.open()
epoch = store.take_lead()
store.commit(epoch, batch(inserts=[row(0)]))
store.counts()

def connections():
    return sum(isinstance(thing, sqlite3.Connection) for thing in gc.get_objects())

assert connections() == 2
over = threading.Event()

def write():
    seq = 0
    while not over.is_set():
        seq += 1
        store.commit(epoch, batch(inserts=[row(seq)]))

writer = threading.Thread(target=write)
writer.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        assert connections() == 2  # SQLite wants none of them closed
        for refused in (store.counts, store.take_lead, store.open, SqliteStore(file).open):
            try:
                refused()
            except StoreError as error:
                assert "fork" in str(error), error
            else:
                os._exit(3)
        store.close()
        del store
        sys.exit(0)  # with all that Python does at its end, which must neither hang nor close
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
over.set()
writer.join()
(seq,) = store.counts().values()
assert store.last_seq() == seq - 1
with store._connections.maintaining() as connection:
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
store.close()
# What was closed before the fork may be opened after it.
child = os.fork()
if child == 0:
    store.open()
    assert store.counts() == {"pending": seq}
    store.close()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_no_connection_survives_a_fork(file):
    assert run_child(FORKING, str(file)) == "ok\n"


def test_a_fenced_leader_in_another_process(file, store):
    program = (
        "import sys; from windlass.stores.sqlite import SqliteStore;"
        "s = SqliteStore(sys.argv[1]); s.open(); print(s.take_lead()); s.close()"
    )
    epoch = store.take_lead()
    assert int(run_child(program, str(file))) == epoch + 1
    with pytest.raises(StoreFencedError, match="start again"):
        store.commit(epoch, batch(inserts=[row(1)]))
    assert store.counts() == {}


@pytest.mark.parametrize("name", ["schema", "epoch", "created_by_us", "last_seq"])
@pytest.mark.parametrize(
    "spoil", ["DELETE FROM windlass_state WHERE", "UPDATE windlass_state SET value = 'x' WHERE"]
)
def test_a_number_of_its_own_that_is_damaged(file, name, spoil):
    fill(file, 3)
    with closing(sqlite3.connect(file)) as connection, connection:
        done = connection.execute(f"{spoil} name = ?", [name])
        assert done.rowcount == 1
    store = SqliteStore(file)
    with pytest.raises(StoreCorruptError, match=rf"own number '{name}'.* restore a backup"):
        try:
            store.open()
            store.take_lead()
            store.last_seq()
            store.shrink()
        finally:
            store.close()
