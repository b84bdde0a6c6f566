"""What the package shows of itself: names, documentation, and that importing it does nothing."""

import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

import windlass
import windlass.testing

SOURCE = Path(windlass.__file__).parents[1]

NAMES = {
    "Adaptive",
    "Breaker",
    "Change",
    "CircuitOpenError",
    "CurrentTask",
    "DeadlockError",
    "DuplicateTaskError",
    "ExternalTask",
    "Gap",
    "Gate",
    "GateChange",
    "InvalidTaskStateError",
    "LiveGate",
    "LogLine",
    "ManagerClosedError",
    "Metrics",
    "NotDurableError",
    "PastAttempt",
    "QueueFullError",
    "Rate",
    "RemoteError",
    "Retry",
    "SerializationError",
    "Snooze",
    "StoreCorruptError",
    "StoreError",
    "StoreFencedError",
    "StoreFullError",
    "StoreLockedError",
    "TaskCancellationError",
    "TaskCrashedError",
    "TaskDependencyError",
    "TaskError",
    "TaskExecutionError",
    "TaskFunction",
    "TaskGroup",
    "TaskHandle",
    "TaskInfo",
    "TaskManager",
    "TaskNotFoundError",
    "TaskPriority",
    "TaskStatus",
    "TaskTimeoutError",
    "Wait",
    "call",
    "current_task",
    "ref",
    "register_type",
    "task",
}
MODULES = {"byid", "codecs", "composition", "decorators", "errors", "executors", "manager"}
"""What ``import windlass`` brings along; the others are imported by those who want them."""

METHODS = {
    "CurrentTask": {
        "attempt", "cancelled", "check_cancelled", "checkpoint", "defer", "enter", "id",
        "metadata", "name", "progress", "restored", "step", "submit",
    },
    "ExternalTask": {
        "as_future", "cancel", "changes", "complete", "done", "ended_by", "exception", "explain",
        "fail", "id", "info", "log", "name", "output", "progress", "result", "set_progress",
        "start", "status", "stored",
    },
    "LiveGate": {
        "breaker", "held", "max_pending", "metrics", "name", "rate", "slots", "state", "waiting",
    },
    "TaskFunction": {"id", "options"},
    "TaskGroup": {"cancel", "handles", "map", "submit"},
    "TaskHandle": {
        "as_future", "cancel", "changes", "done", "ended_by", "exception", "explain", "id", "info",
        "log", "name", "output", "progress", "result", "status", "stored",
    },
    "TaskManager": {
        "add_gate", "around", "as_completed", "as_executor", "cancel_all", "cancel_task", "changes",
        "cleanup", "draw", "drive", "enqueue", "enqueue_in", "execute_task", "explain", "external",
        "flush", "forget", "gate", "gather", "get_handle", "get_metrics", "get_task",
        "get_task_error", "get_task_log", "get_task_progress", "get_task_result",
        "get_task_status", "graph", "group", "is_open", "join", "list_tasks", "map",
        "max_concurrent_tasks", "pause", "register_task", "resume", "retry", "retry_all",
        "shrink_file", "shutdown", "start", "stop", "submit", "subscribe",
        "update_task_progress", "wake",
    },
    "Wait": {"done", "result"},
}  # fmt: skip


def in_a_new_python(code, *options):
    """Run ``code``, which prints JSON, where nothing has been imported and warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def documented_parts():
    """Every public name, and every public method and property that is ours, with its docstring."""
    for name in sorted(NAMES):
        thing = getattr(windlass, name)
        yield name, thing.__doc__
        if inspect.isclass(thing):
            for part in sorted(public(thing)):
                value = inspect.getattr_static(thing, part)
                function = getattr(value, "__func__", getattr(value, "fget", value))
                if str(getattr(function, "__module__", "")).startswith("windlass"):
                    # Of a method that overrides another's, the documentation may stand there.
                    yield f"{name}.{part}", inspect.getdoc(getattr(thing, part))


# -- names -----------------------------------------------------------------------------------------


def test_the_public_names_are_these_and_no_others():
    code = """
        import json, types, windlass
        is_module = lambda name: isinstance(getattr(windlass, name), types.ModuleType)
        print(json.dumps({name: is_module(name) for name in vars(windlass)}))
    """
    found = {name: kind for name, kind in in_a_new_python(code).items() if name[0] != "_"}
    assert {name for name, is_module in found.items() if not is_module} == NAMES
    assert {name for name, is_module in found.items() if is_module} == MODULES


def test_all_are_exported_on_purpose():
    text = Path(windlass.__file__).read_text("utf-8")
    for name in NAMES:
        assert f"import {name} as {name}\n" in text, "type checkers see it only if it says so"


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_public_methods_are_these_and_no_others(name):
    assert public(getattr(windlass, name)) == METHODS[name]


def test_errors_can_be_had_from_their_own_module_too():
    import windlass.errors

    for name in windlass.errors.__all__:
        assert getattr(windlass, name) is getattr(windlass.errors, name)


def test_all_errors_about_tasks_are_task_errors():
    errors = {n for n in NAMES if n.endswith("Error") and n != "RemoteError"}
    assert all(issubclass(getattr(windlass, name), windlass.TaskError) for name in errors)


def test_everything_public_is_documented():
    parts = dict(documented_parts())
    assert len(parts) > 100, "or this looks at nothing"
    assert [name for name, text in parts.items() if not (text or "").strip()] == []


def test_a_class_is_documented_in_its_own_words():
    classes = {name for name in NAMES if inspect.isclass(getattr(windlass, name))}
    generated = {name for name in classes if getattr(windlass, name).__doc__.startswith(f"{name}(")}
    assert generated == set(), "what dataclass and NamedTuple write tells nothing"


def test_the_version_is_the_packages():
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("windlass")
    except PackageNotFoundError:
        pytest.skip("windlass is on the path, and not installed: pip install -e .")
    assert windlass.__version__ == installed


def test_it_says_that_it_is_typed():
    assert (Path(windlass.__file__).parent / "py.typed").is_file()


# -- importing -------------------------------------------------------------------------------------


def test_importing_starts_nothing_and_brings_no_extra():
    code = """
        import json, sys, threading
        import asyncio, logging

        handlers, before = list(logging.getLogger().handlers), set(sys.modules)
        factory = logging.getLogRecordFactory()
        import windlass

        print(json.dumps({
            "threads": threading.active_count(),
            "loop": asyncio._get_running_loop() is None,
            "log": (
                logging.getLogger().handlers == handlers
                and logging.getLogRecordFactory() is factory
                and not logging.getLogger("windlass").level
            ),
            "modules": sorted({name.partition(".")[0] for name in sys.modules}),
        }))
    """
    found = in_a_new_python(code)
    assert found["threads"] == 1
    assert found["loop"]
    assert found["log"], "logging is as it was"
    foreign = set(found["modules"]) - sys.stdlib_module_names
    # An editable install and its like bring modules of their own at the start of Python.
    usual = set(in_a_new_python("import sys, json; print(json.dumps(list(sys.modules)))"))
    assert foreign - usual == {"windlass"}
    heavy = {"multiprocessing", "sqlite3", "unittest", "xml", "http", "tempfile", "email"}
    assert not heavy & set(found["modules"]), "imported only where it is used"


def test_importing_makes_no_manager_and_touches_no_file(tmp_path):
    code = f"""
        import json, os, sys, gc
        os.chdir({str(tmp_path)!r})
        opened = []

        def watch(event, args):
            if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
                opened.append(str(args[0]))
            elif event.startswith(("socket.", "subprocess.", "os.fork", "os.exec")):
                opened.append(event)

        sys.dont_write_bytecode = True
        sys.addaudithook(watch)
        import windlass
        made = [thing for thing in gc.get_objects() if isinstance(thing, windlass.TaskManager)]
        print(json.dumps({{"opened": opened, "made": len(made)}}))
    """
    assert in_a_new_python(code) == {"opened": [], "made": 0}
    assert list(tmp_path.iterdir()) == []


def test_a_manager_that_is_only_made_starts_nothing():
    code = """
        import json, threading, windlass
        manager = windlass.TaskManager()
        print(json.dumps(threading.active_count()))
    """
    assert in_a_new_python(code) == 1


NOTHING_BUT_THE_STANDARD_LIBRARY = """
    import sys

    class Refuse:
        @staticmethod
        def find_spec(name, path=None, target=None):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names | {"windlass", "__main__"}:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Refuse)
"""


def test_it_works_without_any_extra():
    code = (
        NOTHING_BUT_THE_STANDARD_LIBRARY
        + """
    import json
    from windlass import TaskManager, call, ref, task

    @task(tags=["x"])
    async def double(x):
        return 2 * x

    with TaskManager() as tm:
        results = [
            tm.submit(double, 1).result(timeout=60),
            tm.submit(sorted, [2, 1]).result(timeout=60),
            tm.submit(task(len, executor="process"), "abc").result(timeout=60),
            tm.gather(*tm.map(double, [1, 2])).result(timeout=60),
            tm.graph({"a": call(double, 2), "b": call(double, ref("a"))})["b"].result(timeout=60),
        ]
        with tm.group() as group:
            results.append(group.submit(double, 5).result(timeout=60))
        tm.draw(format="text"), tm.get_metrics(), tm.list_tasks()
    print(json.dumps(results))
    """
    )
    assert in_a_new_python(code) == [2, [1, 2], 3, [2, 4], 8, 10]


# -- windlass.testing ------------------------------------------------------------------------------


def test_the_names_for_tests_are_these_and_no_others():
    names = {
        "ExecutorContract",
        "Faults",
        "InjectedFault",
        "StoreContract",
        "VirtualClock",
        "VirtualLoop",
        "World",
    }
    assert set(windlass.testing.__all__) == names
    for name in names:
        thing = getattr(windlass.testing, name)
        assert not isinstance(thing, ModuleType)
        assert (thing.__doc__ or "").strip(), name
        assert name in dir(windlass.testing)
    with pytest.raises(AttributeError, match=r"'windlass\.testing' has no attribute 'Wolrd'"):
        windlass.testing.Wolrd  # noqa: B018


def test_the_package_for_tests_and_its_plugin_are_light():
    """pytest imports them in every run of everybody who has Windlass installed."""
    code = """
        import json, sys
        before = set(sys.modules)
        import windlass
        with_windlass = set(sys.modules)
        import windlass.testing
        print(json.dumps(sorted(set(sys.modules) - with_windlass)))
    """
    assert in_a_new_python(code) == ["windlass.testing"]
    code = """
        import json, sys
        import pytest
        import windlass
        before = set(sys.modules)
        import windlass.testing.plugin
        print(json.dumps(sorted(set(sys.modules) - before)))
    """
    assert set(in_a_new_python(code)) <= {"windlass.testing", "windlass.testing.plugin"}


def test_the_simulator_needs_nothing_but_the_standard_library():
    code = (
        NOTHING_BUT_THE_STANDARD_LIBRARY
        + """
    import contextlib, io, json
    from windlass.testing.simulate import main

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        main(["--seeds", "5"])
    print(json.dumps(shown.getvalue()))
    """
    )
    assert "5" in in_a_new_python(code)
