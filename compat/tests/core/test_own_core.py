"""A program with a package ``core`` of its own, which has modules of the names that we have."""

import subprocess
import sys
import textwrap

OWN = {
    "core/__init__.py": """
        from pkgutil import extend_path
        __path__ = extend_path(__path__, __name__)
    """,
    "core/config.py": """
        config = {"its": "own"}
    """,
    "core/event_system.py": """
        class EventSystem: ...
    """,
    "program.py": """
        from core.config import config
        from core.event_system import EventSystem
        from core.task import AsyncTaskManager, task_bridge
        from core.task.unified_manager import unified_task_manager

        manager = AsyncTaskManager()
        done = manager.register_task("double", lambda x: 2 * x, x=4)
        print(manager.execute_task(done, wait=True))
        by_hand = task_bridge.register_task("by hand", print)
        print(task_bridge.start_task(by_hand), task_bridge.complete_task(by_hand, 5))
        print(config, EventSystem.__name__, unified_task_manager is not None)
    """,
}


def test_its_own_modules_hide_ours_and_everything_works(tmp_path):
    for name, text in OWN.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text), "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["8", "True True", "{'its': 'own'} EventSystem True"]
