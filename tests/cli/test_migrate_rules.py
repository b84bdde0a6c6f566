"""What ``windlass migrate`` makes of single uses: how they are rewritten, or why they are not."""

import textwrap

import pytest

from windlass.cli.migrate.files import File, Surroundings
from windlass.cli.migrate.findings import Action
from windlass.cli.migrate.program import read
from windlass.cli.migrate.rewriting import rewrite

HEADS = {
    "S": "from core.task_management.task_manager import task_manager as tm",
    "P": "from core.task import task_manager as tm",
    "U": "from core.task.unified_manager import unified_task_manager as tm",
    "O": "from core.task_manager import task_manager as tm",
    "T": "from core.thread_pool_manager import thread_pool_manager as tm",
    "B": "from core.task import task_bridge as tm",
}


def file_of(code, **around):
    return File(textwrap.dedent(code).encode(), Surroundings(**around))


def rewritten(kind, body):
    """``body``, which uses the manager ``tm`` of some kind, as it reads afterwards."""
    file = file_of(f"{HEADS[kind]}\n{body}\n")
    assert {finding.action for finding in file.findings} == {Action.REWRITE}, file.findings
    text = rewrite(file).decode()
    assert not file.left()
    compile(text, "program", "exec", flags=0x2000)  # with await where it is now
    _, body = text.split("own_loop=True)\n")
    return body.removeprefix("tm.start()\n").rstrip("\n")


ID = 'x = tm.register_task("n", f)\n'
A_THEN_B = "a = tm.register_task(1, f)\nb = tm.register_task(2, f, dependencies=[a])\n"
AWAITED = 'x = await tm.register_task("n", f)\n'


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        # registering, in every system's own way
        ("P", "tm.register_task(name='n', func=f)", "tm.register_task('n', f)"),
        (
            "P",
            "tm.register_task('n', f, *a, k=1)",
            """tm.register_task('n', f, *a, kwargs={"k": 1})""",
        ),
        ("P", "tm.register_task('n', f, args=a)", "tm.register_task('n', f, *a)"),
        ("P", "tm.register_task('n', f, args=())", "tm.register_task('n', f)"),
        (
            "P",
            "tm.register_task('n', f, k=1, kwargs={'j': 2}, auto_shutdown=False)",
            "tm.register_task('n', f, kwargs={\"k\": 1, 'j': 2})",
        ),
        # `metadata=` was no option here, so it was the function's.
        (
            "P",
            "tm.register_task('n', f, metadata=1)",
            "tm.register_task('n', f, kwargs={\"metadata\": 1})",
        ),
        (
            "P",
            "tm.register_task('n', f, focus_id=i)",
            "tm.register_task('n', f, metadata={\"focus_id\": i})",
        ),
        ("S", "tm.register_task('n', f, executor_type='async')", "tm.register_task('n', f)"),
        (
            "S",
            "tm.register_task('n', f, executor_type='thread_pool')",
            "tm.register_task('n', f, executor=\"thread\")",
        ),
        (
            "U",
            "await tm.register_task('n', f, (1, *b), None, 'LOW', task_type='t')",
            "tm.register_task('n', windlass.task(f, type='t'), 1, *b, kwargs=None, priority='LOW')",
        ),
        (
            "B",
            "tm.register_task('n', f, args=[1], use_old_system=False)",
            "tm.register_task('n', f, 1)",
        ),
        ("B", "tm.register_task('n', f, tags=1)", "tm.register_task('n', f, kwargs={\"tags\": 1})"),
        # executing
        ("P", ID + "e = tm.execute_task(x)", ID + "e = tm.execute_task(x)"),
        ("P", ID + "r = tm.execute_task(x, wait=True)", ID + "r = tm.execute_task(x).result()"),
        ("P", ID + "r = await tm.execute_task(x)", ID + "r = await tm.execute_task(x)"),
        ("S", "r = await tm.execute_task(x)", "r = await tm.execute_task(x)"),
        ("S", "await tm.execute_task(x, False)", "tm.execute_task(x)"),
        (
            "S",
            "await asyncio.wait_for(tm.execute_task(x), 5)",
            "await asyncio.wait_for(tm.execute_task(x), 5)",
        ),
        ("U", AWAITED + "await tm.execute_task(x)", ID + "tm.execute_task(x)"),
        (
            "U",
            AWAITED + "r = await tm.execute_task(x, wait=True)",
            ID + "r = await tm.execute_task(x)",
        ),
        ("O", ID + "tm.execute_task(x, wait=True)", ID + "tm.execute_task(x).result()"),
        ("P", "for x in xs:\n    tm.execute_task(x)", "for x in xs:\n    tm.execute_task(x)"),
        (
            "P",
            "tm.execute_task(tm.register_task(name='n', func=f))",
            "tm.execute_task(tm.register_task('n', f))",
        ),
        # asking
        ("U", "s = await tm.get_task_status(task_id=x)", "s = tm.get_task_status(x)"),
        ("O", "len(tm.get_waiting_tasks())", 'len(tm.list_tasks(status="waiting"))'),
        ("T", "len(tm.get_all_tasks())", "len(tm.list_tasks())"),
        (
            "U",
            "len(await tm.get_tasks_by_type(task_type='t'))",
            "len(tm.list_tasks(type='t'))",
        ),
        ("S", "tm.get_task(x).status", "tm.get_task(x).status"),
        (
            "S",
            "tm.update_task_progress(x, 0.5, message='half')",
            "tm.update_task_progress(x, 0.5, 'half')",
        ),
        # ending
        ("U", "await tm.cleanup_completed_tasks()", "tm.cleanup(86400.0)"),
        ("B", "tm.cleanup_completed_tasks(max_age=5)", "tm.cleanup(5)"),
        ("B", "tm.cleanup_task(x)", "tm.forget(x)"),
        ("P", "tm.shutdown(False)", "tm.shutdown(wait=False).result()"),
        ("P", "async def f():\n    tm.stop()", "async def f():\n    tm.stop()"),
        (
            "P",
            ID + "async def f(): ...\ndef main():\n    tm.stop()\nmain()",
            ID + "async def f(): ...\ndef main():\n    tm.stop().result()\nmain()",
        ),
        (
            "S",
            ID + "gone = await tm.cancel_task(x)",
            ID + "gone = tm.cancel_task(x)\n"
            "await tm.gather(tm.get_handle(x), return_errors=True)  # until it has cleaned up",
        ),
        # submitting to the pool
        ("T", "r = await tm.submit(f, 1, k=2)", "r = await tm.submit(f, 1, k=2)"),
        (
            "T",
            "x = tm.submit(f, *a, name='n')\ntm.get_task_status(x)",
            "x = tm.submit(windlass.task(f, name='n'), *a)\ntm.get_task_status(x)",
        ),
        ("U", "await tm.thread_pool.submit(f, 1)", "await tm.submit(f, 1)"),
        # by hand
        ("B", ID + "ok = tm.fail_task(x, error='e')", ID + "ok = tm.drive(x).fail('e')"),
        ("P", "def g():\n    global tm\n    tm.start()", "def g():\n    global tm\n    tm.start()"),
        # what was written for Windlass already
        ("P", "tm.windlass.submit(f, 1)", "tm.submit(f, 1)"),
    ],
)
def test_what_is_certain_is_rewritten(kind, old, new):
    assert rewritten(kind, old) == new


@pytest.mark.parametrize(
    ("kind", "code", "why"),
    [
        ("P", "tm.register_task('n', f, **k)", "what is passed cannot be seen"),
        ("P", "tm.register_task(*call)", "what is passed cannot be seen"),
        ("P", "tm.register_task('n', f, auto_shutdown=True)", "leave the manager's block"),
        ("P", "tm.register_task('n', f, k=1, kwargs=d)", "passed in two ways"),
        ("S", "tm.register_task('n', f, executor_type=e)", "which executor it is cannot be seen"),
        ("U", "tm.register_task('n', f)", "it was to be awaited"),
        ("U", "await tm.register_task('n', metadata={'func': f})", "there is no function"),
        ("B", "tm.register_task('n', None)", "there is no function"),
        ("P", "tm.execute_task(x)", "an unknown id was no error"),
        ("P", ID + "use(tm.execute_task(x))", "it returned an id"),
        ("P", ID + "e = tm.execute_task(x)\nprint(e)", "it returned an id"),
        ("P", ID + "tm.execute_task(x, wait=w)", "whether it waits cannot be seen"),
        ("P", ID + "async def g():\n    tm.execute_task(x, wait=True)", "block an event loop"),
        ("S", "asyncio.create_task(tm.execute_task(x))", "it returned a coroutine"),
        ("P", ID + "if tm.cancel_task(x): pass", "and does not wait now"),
        ("P", "tm.cancel_task(x)", "unknown id"),
        ("U", "s = tm.get_task_status(x)", "it was to be awaited"),
        ("S", "tm.get_task(x).to_dict()", "a TaskInfo"),
        ("S", "for t in tm.get_tasks_by_tag('t'): pass", "a list of TaskInfo"),
        ("P", "tm.get_task_error(x)", "an exception where this gave a text"),
        ("P", "tm.get_metrics()['x']", "by_status"),
        ("P", "async def f(): ...\ndef g():\n    tm.stop()", "in plain code it returned"),
        ("O", "tm.start()", "nothing runs by being registered"),
        ("T", "x = tm.submit(f)\nprint(x)", "it returned an id"),
        ("O", ID + "r = tm.execute_task(x, wait=True)\nprint(r)", "it returned an id"),
        ("P", "use(tm.stop())", "tm.windlass.stop()"),
        ("T", "tm.submit(f, task_id='x')", "the id is chosen by hand"),
        ("B", "tm.start_task(x)", "an unknown id was no error"),
        ("P", "use(tm)", "it is passed on"),
        ("P", "tm = other()", "something else is called tm here"),
        ("P", "def g(tm): tm.start()", "something else is called tm here"),
        ("P", "__all__ = ['tm']", "other files may import it"),
        ("P", "windlass = tm.start()", "something of the file's own is called windlass"),
        (
            "P",
            "from boats import windlass\ntm.start()",
            "something of the file's own is called windlass",
        ),
        ("P", "tm.nothing()", "nothing here has that name"),
        (
            "P",
            A_THEN_B + "tm.execute_task(b)\ntm.execute_task(a)",
            "is not executed again",
        ),
        (
            "P",
            A_THEN_B + "for x in (b, a):\n    tm.execute_task(x)",
            "is not executed again",
        ),
    ],
)
def test_what_is_not_certain_is_not_rewritten(kind, code, why):
    file = file_of(f"{HEADS[kind]}\n{code}\n")
    decide = [finding.new for finding in file.findings if finding.action is Action.DECIDE]
    assert len(decide) == 1, decide
    assert why in decide[0]
    assert all(finding.action is not Action.REWRITE for finding in file.findings)
    text = rewrite(file).decode()
    comments = [line for line in text.splitlines() if "windlass migrate:" in line]
    assert [line.strip() for line in comments] == [f"# windlass migrate: {decide[0]}"]
    without = "".join(f"{line}\n" for line in text.splitlines() if line not in comments)
    assert without == f"{HEADS[kind]}\n{code}\n"


@pytest.mark.parametrize(
    ("path", "call", "limits"),
    [
        ("core.task", "AsyncTaskManager()", ""),
        ("core.task", "AsyncTaskManager(max_workers=None)", ""),
        ("core.task", "AsyncTaskManager(N)", ", max_concurrent_tasks=N, threads=N"),
        ("core.task.bridge", "TaskBridge()", ""),
        ("core.task_management", "TaskManager()", ", max_concurrent_tasks=4, threads=4"),
        ("core.task_manager", "TaskManager(history_limit=9)", ", retention_count=9"),
        (
            "core.thread_pool_manager",
            "ThreadPoolManager(1, 8)",
            ", max_concurrent_tasks=8, threads=8",
        ),
    ],
)
def test_a_manager_keeps_its_limits(path, call, limits):
    file = file_of(f"from {path} import {call.partition('(')[0]}\nm = {call}\n")
    made = f"windlass.TaskManager(own_loop=True{limits})"
    assert rewrite(file).decode() == f"import windlass\nm = {made}\n"


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("core.task", "AsyncTaskManager(engine=e)"),
        ("core.task", "AsyncTaskManager(os.cpu_count())"),
        ("core.task", "AsyncTaskManager(**settings)"),
        ("core.task_management", "TaskManager(default_executor_type='thread_pool')"),
        ("core.task_manager", "TaskManager(resource_monitor=r)"),
    ],
)
def test_settings_without_a_counterpart_are_for_a_person(path, call):
    file = file_of(f"from {path} import {call.partition('(')[0]}\nm = {call}\n")
    assert [f.line for f in file.findings if f.action is Action.DECIDE] == [2]
    assert file.left() == {path}


def test_managers_that_are_used_otherwise_than_by_calling_their_class_stay():
    for use in ("class M(TaskManager): ...", "run(TaskManager())", "def f(x: TaskManager): ..."):
        file = file_of(f"from core.task_management import TaskManager\n{use}\n")
        assert [f.action for f in file.findings] == [Action.WAIT, Action.DECIDE], use


@pytest.mark.parametrize(
    "code",
    [
        "class Service:\n    m = TaskManager()",
        "m = n = TaskManager()",
        "m = TaskManager(); m.stop()",
        "service.m = TaskManager()",
        "m = TaskManager()\nfrom elsewhere import m",
        "class S:\n    def __init__(self):\n        self.m = TaskManager()\ndef f(s): s.m.stop()",
    ],
)
def test_managers_that_others_may_know_by_another_name_stay(code):
    text = f"from core.task_manager import TaskManager\n{code}\n"
    file = file_of(text)
    assert [f.action for f in file.findings].count(Action.DECIDE) == 1
    assert Action.REWRITE not in [f.action for f in file.findings]


def test_a_global_object_that_is_imported_twice_is_made_once():
    file = file_of(f"{HEADS['P']}\n{HEADS['P']}\ntm.stop()\n")
    assert rewrite(file).decode() == (
        "import windlass\n\ntm = windlass.TaskManager(own_loop=True)\ntm.stop().result()\n"
    )


def test_what_has_no_counterpart_yet_stays_without_a_word_in_the_program():
    text = "from ailf.messaging.redis import RedisClient\nRedisClient()\n"
    file = file_of(text)
    assert {finding.action for finding in file.findings} == {Action.WAIT}
    assert rewrite(file).decode() == text


def test_managers_of_a_class_go_together_and_others_do_not_wait_for_them():
    file = file_of("""\
        from core.task_management import TaskManager
        from core.task import AsyncTaskManager
        a = TaskManager()
        b = TaskManager()
        use(b)
        c = AsyncTaskManager()
        c.stop()
    """)
    actions = [finding.action.value for finding in file.findings]
    assert actions == ["wait", "rewrite", "wait", "wait", "decide", "rewrite", "rewrite"]
    assert rewrite(file).decode() == textwrap.dedent("""\
        import windlass
        from core.task_management import TaskManager
        a = TaskManager()
        b = TaskManager()
        # windlass migrate: it is passed on, and will be a windlass.TaskManager there, too
        use(b)
        c = windlass.TaskManager(own_loop=True)
        c.stop().result()
    """)


@pytest.mark.parametrize(
    ("body", "starts"),
    [
        ("async def f(x):\n    await tm.start()\n    await tm.execute_task(x)", 1),
        ("async def f(x):\n    await tm.execute_task(x)\n    await tm.start()", 2),
        ("async def f(x):\n    await tm.execute_task(x)", 1),
        ("def f(x):\n    return tm.get_task_status(x)", 0),
    ],
)
def test_a_manager_is_open_before_it_is_needed(body, starts):
    text = rewrite(file_of(f"{HEADS['S']}\n{body}\n")).decode()
    assert text.count("tm.start()") == starts


def test_imports_keep_what_they_still_bring_and_what_stands_around_them():
    file = file_of("""
        '''Docs.'''
        # about the imports
        from core.task import (
            Task,  # used
            TaskPriority as P,
            TaskStatus,
        )  # behind them
        if True:
            from core.task_management.exceptions import TaskError
        Task(), P.LOW
    """)
    assert rewrite(file).decode() == textwrap.dedent("""
        '''Docs.'''
        # about the imports
        # windlass migrate: submit the function: tm.submit(task(func, name=..., timeout=...), \
*args) gives a handle, and handle.info is what there is to know
        from core.task import (
            Task,  # used
            )  # behind them
        from windlass import TaskPriority as P, TaskStatus
        if True:
            from windlass import TaskError
        Task(), P.LOW
    """)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import core.task_manager", 1),
        ("from core import task_management as tasks\ntasks.TaskManager()", 1),
        ("from core.task import *", 1),
        ("x = 1; from core.task import TaskStatus", 1),
        ("def f():\n    from core.task import task_manager\n    task_manager.stop()", 2),
    ],
)
def test_imports_that_a_person_must_write_otherwise_first(code, line):
    file = file_of(f"{code}\n")
    decide = [f for f in file.findings if f.action is Action.DECIDE]
    assert decide[0].line == line
    assert "{" not in decide[0].new
    assert file.left()


def test_relative_imports_are_followed():
    file = file_of("from ..task import TaskStatus\n", package="core.jobs")
    assert rewrite(file) == b"from windlass import TaskStatus\n"
    assert not file_of("from ..task import TaskStatus\n", package="shop.jobs").is_old


@pytest.mark.parametrize(
    "other",
    [
        "from jobs import tm",
        "from .jobs import (x, tm)",
        "import jobs\njobs.tm.stop()",
    ],
)
def test_what_other_files_use_stays(tmp_path, other):
    (tmp_path / "jobs.py").write_text(f"{HEADS['P']}\ntm.start()\n")
    (tmp_path / "other.py").write_text(other)
    [findings] = read(tmp_path).findings.values()
    assert "other files may import it from here" in [finding.new for finding in findings]
    assert not any(finding.action is Action.REWRITE for finding in findings)


SERVICE = """
from core.task import AsyncTaskManager
class Service:
    def __init__(self):
        self.pool = AsyncTaskManager()
"""


@pytest.mark.parametrize(
    ("other", "stays"),
    [
        ("import jobs\njobs.Service().pool.stop()", True),
        ("class Sub(Service):\n    def f(self): self.pool.stop()", True),
        ("class Other:\n    def f(self):\n        self.pool = 1\n        return self.pool", False),
        ("from jobs import AsyncTaskManager", True),
    ],
)
def test_what_other_files_use_of_an_object_stays(tmp_path, other, stays):
    (tmp_path / "jobs.py").write_text(SERVICE)
    (tmp_path / "other.py").write_text(other)
    [findings] = read(tmp_path).findings.values()
    assert any(finding.action is Action.DECIDE for finding in findings) is stays


def test_a_module_of_a_common_name_is_the_programs_own(tmp_path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").touch()
    (tmp_path / "main.py").write_text("from core.config import config\nprint(config)\n")
    assert len(read(tmp_path).findings[tmp_path / "main.py"]) == 2
    (tmp_path / "core" / "config.py").write_text("config = {}\n")
    assert not read(tmp_path).findings


def test_comments_stay_and_those_of_an_earlier_run_do_not_pile_up():
    text = (
        "from core.task import Task\n# about the status\nfrom core.task import TaskStatus\nTask()\n"
    )
    once = rewrite(file_of(text)).decode()
    assert once.startswith("# windlass migrate: submit the function")
    assert "\n# about the status\nfrom windlass import TaskStatus\n" in once
    assert rewrite(file_of(once)).decode() == once


def test_bytes_stay_as_they_are(tmp_path):
    path = tmp_path / "program.py"
    text = "# -*- coding: latin-1 -*-\r\nfrom core.task import TaskStatus\r\nprint('\xe4',  1 )\r\n"
    path.write_bytes(text.encode("latin-1"))
    program = read(path)
    program.write()
    assert path.read_bytes() == text.replace("core.task", "windlass").encode("latin-1")
