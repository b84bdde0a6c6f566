"""Somebody's program, run in this process the way python itself would run it.

A file becomes the module ``__main__``, with ``sys.argv`` and ``sys.path`` set as if python had been
given it, so that worker processes find its functions and a traceback shows nothing but the program.
"""

from __future__ import annotations

import asyncio
import builtins
import importlib
import inspect
import io
import sys
import types
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

INTERRUPTED = 130
"""The exit code of what Ctrl-C has ended, as shells have it."""


class NoProgramError(Exception):
    """There is nothing to run under the name that was given."""


def find(target: str) -> Callable[[list[str]], None]:
    """The program that ``target`` names; call it with its arguments to run it."""
    if Path(target).is_file():
        return lambda args: _run_file(target, args)
    module, colon, function = target.partition(":")
    if colon and module and function and not target.endswith(".py"):
        return lambda args: _run_function(target, module, function, args)
    if Path(target).is_dir():
        raise NoProgramError(f"{target} is a folder; a program is a file")
    if target.endswith(".py") or "/" in target:
        raise NoProgramError(f"there is no file {target}")
    raise NoProgramError(f"{target} is neither a file nor of the form package.module:function")


def _run_file(path: str, args: list[str]) -> None:
    place = Path(path).absolute()
    main = types.ModuleType("__main__")
    main.__file__ = str(place)
    main.__loader__ = SourceFileLoader("__main__", str(place))
    main.__dict__.update(__builtins__=builtins, __cached__=None)
    # For good: what the program leaves for the end of the process still finds its own names.
    sys.modules["__main__"] = main
    sys.argv[:] = [path, *args]
    _go_first(str(place.resolve().parent))
    with io.open_code(str(place)) as source:
        code = compile(source.read(), str(place), "exec", dont_inherit=True)
    exec(code, main.__dict__)  # noqa: S102  # it is what we are here for


def _run_function(target: str, module_name: str, path: str, args: list[str]) -> None:
    sys.argv[:] = [target, *args]
    _go_first(str(Path.cwd()))
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks another one
        raise NoProgramError(
            f"there is no module {error.name}; this was looked for from {Path.cwd()} on"
        ) from None
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise NoProgramError(f"{module_name} has no function {path}") from None
    if not callable(found):
        raise NoProgramError(f"{target} is not a function, but {found!r}")
    result = found()
    if inspect.iscoroutine(result):
        asyncio.run(result)
    elif inspect.isawaitable(result):
        asyncio.run(_wait_for(result))


async def _wait_for(awaitable: Awaitable[object]) -> None:
    await awaitable


def _go_first(folder: str) -> None:
    """Put ``folder`` where python puts the place of the program that it was started with."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def exit_code(program: Callable[[], None], *, was_interrupted: Callable[[], bool]) -> int:
    """Run ``program`` to its end, whatever that is; show an error as python does."""
    try:
        program()
    except NoProgramError:
        raise
    except SystemExit as error:
        return _asked_for(error.code)
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        if not was_interrupted():
            _show(error)
        return INTERRUPTED
    except BaseException as error:  # noqa: BLE001  # we are the last to hear of it
        _show(error)
        return 1
    return 0


def _asked_for(code: object) -> int:
    """What ``sys.exit(code)`` means."""
    if code is None or isinstance(code, int):
        return int(code or 0)
    print(code, file=sys.stderr)
    return 1


def _show(error: BaseException) -> None:
    """Show an error as python does, from the program's first frame on."""
    step = error.__traceback__
    while step is not None and _is_ours(step.tb_frame):
        step = step.tb_next
    error.__traceback__ = step
    sys.excepthook(type(error), error, step)


def _is_ours(frame: types.FrameType) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return name.startswith("windlass.cli.") or name == "importlib" or "importlib._" in name
