"""``windlass migrate`` as a command: what it prints, how it ends, and what it knows."""

import json
import textwrap

from old_programs import COMPAT, migrate
from programs import python, write

OLD = "from core.task import TaskStatus, task_manager\n\ntask_manager.get_task_error('x')\n"


def test_each_use_is_listed_with_its_place_and_what_to_write(tmp_path):
    write(tmp_path, OLD)
    done = migrate("program.py", cwd=tmp_path)
    assert done.stdout == textwrap.dedent("""\
        program.py:1: rewrite: TaskStatus -> from windlass import TaskStatus
        program.py:1: wait: task_manager -> windlass.TaskManager(own_loop=True)
        program.py:3: decide: task_manager.get_task_error -> an exception where this gave a text: \
        task_manager.windlass.get_task(id).error, whose text is str(error)
        3 uses of old paths in 1 file: 1 certain, 1 for a person to decide, 1 waiting for those.
        With --write, what is certain is rewritten, and the rest gets comments.
    """).replace("    ", "")
    assert (done.returncode, done.stderr) == (1, "")
    assert (tmp_path / "program.py").read_text() == OLD, "without --write nothing is written"


def test_programs_get_json(tmp_path):
    write(tmp_path, OLD)
    write(tmp_path, "print(\n", "broken.py")
    done = migrate(".", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["uses"][0] == {
        "file": "program.py",
        "line": 1,
        "column": 22,
        "old": "TaskStatus",
        "new": "from windlass import TaskStatus",
        "action": "rewrite",
    }
    assert [use["action"] for use in told["uses"]] == ["rewrite", "wait", "decide"]
    assert told["written"] == []
    assert told["skipped"] == [{"file": "broken.py", "line": 1, "why": "'(' was never closed"}]
    told = json.loads(migrate(".", "--json", "--write", cwd=tmp_path).stdout)
    assert told["written"] == ["program.py"]


def test_the_exit_code_says_what_is_left(tmp_path):
    write(tmp_path, "from core.task import TaskStatus\nprint(TaskStatus)\n")
    assert migrate(".", cwd=tmp_path).returncode == 1
    assert migrate(".", "--write", cwd=tmp_path).returncode == 0
    assert migrate(".", cwd=tmp_path).returncode == 0
    nowhere = migrate("nowhere", cwd=tmp_path)
    assert nowhere.returncode == 2
    assert nowhere.stderr == "windlass migrate: there is no file or folder nowhere\n"


def test_what_is_no_python_is_named_and_skipped(tmp_path):
    write(tmp_path, "from core.task import TaskStatus\nx = (1,\n", "open.py")
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00core")
    write(tmp_path, "from core.task import TaskStatus\n", "fine.py")
    done = migrate(".", "--write", cwd=tmp_path)
    assert done.returncode == 2
    assert "windlass migrate: open.py:2 is skipped: '(' was never closed\n" in done.stderr
    assert "windlass migrate: binary.py" in done.stderr
    assert "Traceback" not in done.stderr
    assert "fine.py:1: done:" in done.stdout


def test_what_is_not_the_programs_is_left_alone(tmp_path):
    for folder in (".venv", "env", "__pycache__", "src/node_modules"):
        (tmp_path / folder).mkdir(parents=True)
        write(tmp_path / folder, OLD, "old.py")
    write(tmp_path / "env", "", "pyvenv.cfg")
    write(tmp_path, "core = 'not a path'\nprint(core.upper())\n")
    done = migrate(".", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "Nothing here uses an old path.\n")


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder.py").mkdir()
    write(tmp_path, "from core.task import TaskStatus\n")
    code = """
    import pathlib, sys

    def refuse(self, data):
        raise PermissionError(13, "Permission denied", str(self))

    pathlib.Path.write_bytes = refuse
    sys.argv = ["windlass", "migrate", ".", "--write"]
    from windlass.cli import main
    main()
    """
    done = python("-c", textwrap.dedent(code), cwd=tmp_path)
    assert done.returncode == 2
    assert "Permission denied: 'program.py'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_extra_that_is_missing_is_named(tmp_path):
    write(tmp_path, OLD)
    code = """
    import sys
    sys.modules["libcst"] = None
    sys.argv = ["windlass", "migrate", "program.py"]
    from windlass.cli import main
    main()
    """
    done = python("-c", textwrap.dedent(code), cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'windlass[migrate]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_other_commands_do_not_load_it(tmp_path):
    code = "import sys, windlass.cli.app; print('libcst' in sys.modules)"
    assert python("-c", code, cwd=tmp_path).stdout == "False\n"


EVERY_NAME = """
import importlib, pkgutil, warnings
import windlass
from windlass.cli.migrate.vocabulary import METHODS, PATHS, Advice, Manager, Same, entry_of

warnings.simplefilter("ignore")
import core

modules = {
    m.name for m in pkgutil.walk_packages(core.__path__, "core.") if "._" not in m.name
}
assert modules == {path for path in PATHS if path.startswith("core")}, modules ^ PATHS.keys()
for path in sorted(modules | {"ailf", "ailf.async_tasks"}):
    module = importlib.import_module(path)
    names = getattr(module, "__all__", PATHS[path])  # what else there is, is their own
    if hasattr(module, "__path__"):
        names = [
            name for name, value in vars(module).items()
            if not name.startswith("_") and not isinstance(value, type(windlass))
            and hasattr(value, "__module__") and name != "extend_path"
        ]
    for name in names:
        entry, found = entry_of(path, name), getattr(module, name)
        assert entry is not None, (path, name)
        if isinstance(entry, Same):
            assert getattr(windlass, entry.name) is found, (path, name)
        elif isinstance(entry, Manager):
            assert isinstance(found, type) is not entry.shared, (path, name)
            for method in dir(found):
                if not method.startswith("_") and method != "windlass":
                    print(entry.kind, method) if method not in METHODS[entry.kind] else None
        else:
            assert f"has no {name} here" not in entry.text, (path, name)
    known = {name for name in PATHS[path]}
    assert known <= {*vars(module)}, (path, known - {*vars(module)})
print("all")
"""


def test_every_old_name_is_known_and_those_that_stay_the_same_are_the_same(tmp_path):
    done = python("-c", EVERY_NAME, cwd=tmp_path, PYTHONPATH=str(COMPAT))
    assert done.stdout.splitlines() == ["all"], done.stdout + done.stderr
