"""How a function travels: by its name and learnt once, or with its state and anew for each call."""

from __future__ import annotations

import functools
import pickle
import sys

import chores
import pytest
from office import on_a_loop

from windlass import TaskManager, task
from windlass._runtime import parcel
from windlass._runtime.parcel import TaskParcel


def there(function, *args):
    """A call's parcel when it has arrived."""
    sent = pickle.dumps(TaskParcel("t1", "task", 1, {}, None, function, args, {}, ()).flat())
    opener, *contents = pickle.loads(sent)
    return pickle.loads(opener)(*contents)


def unchanged(value):
    return value


class Found:
    """A decorator's object that goes by a name, and counts how often it is asked for it."""

    __wrapped__ = staticmethod(unchanged)
    asked = 0

    def __reduce__(self):
        self.asked += 1
        return _found, ()


class Unhashable(Found):
    __hash__ = None


def _found():
    return found


found = Found()


def test_a_name_is_packed_once():
    first, second = there(found, 1), there(found, 2)
    assert first.function is second.function is found
    assert (first.args, second.args) == ((1,), (2,))
    assert found.asked == 1


def test_what_has_no_hash_travels_all_the_same():
    assert there(Unhashable()).function is found


def test_how_many_are_remembered_is_bounded():
    for number in range(parcel._MANY + 2):
        there(chores.double.options(name=f"double {number}"))
    assert parcel._name_of.cache_info().currsize == parcel._MANY
    assert 0 < parcel._named.cache_info().currsize <= parcel._MANY


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
@on_a_loop
async def test_no_call_sees_what_another_left_in_its_function():
    async with TaskManager(processes=1) as tm:
        for function in (functools.partial(chores.grow, []), chores.Growing().grow):
            growing = task(function, executor="process")
            assert await tm.gather(*[tm.submit(growing) for _ in range(3)]) == [1, 1, 1]
