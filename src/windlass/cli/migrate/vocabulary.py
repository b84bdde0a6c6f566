"""The old paths: every name they had, and what to write instead.

Three things can be behind an old name: the ``Same`` object as in Windlass, a ``Manager``, whose
uses are looked at one by one, or anything else, for which there is an ``Advice``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Same:
    """The very object that is called ``name`` in Windlass."""

    name: str


@dataclass(frozen=True, slots=True)
class Manager:
    """A class of managers or, if ``shared``, the one global object of such a class."""

    kind: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that a person has to think about; or need not, since it ``stays``."""

    text: str
    stays: bool = False


Entry = Same | Manager | Advice

UNIFIED, ASYNC, ALL_AWAITED, OLDEST, POOL, BRIDGE, MONITOR, COROUTINES = (
    "core.task_management", "core.task", "core.task.unified_manager", "core.task_manager",
    "core.thread_pool_manager", "core.task.task_bridge", "core.task.task_monitor",
    "ailf.async_tasks",
)  # fmt: skip
"""The kinds of managers, each called by the path where it is at home."""

_TASK = Advice(
    "submit the function: tm.submit(task(func, name=..., timeout=...), *args) gives a handle, and "
    "handle.info is what there is to know"
)
_NEW_ID = Advice("leave the id out: register_task makes one, and returns it")
_EXECUTOR = Advice(
    "an executor is an option of the task: task(func, executor='thread'), 'async', 'process' or "
    "'sequential'"
)
_EVENTS = Advice(
    "tm.subscribe(callback), called with batches of Change; tm.changes() in a coroutine"
)
_REDIS = Advice("stays as it is: Windlass has no part for Redis yet", stays=True)
_CELERY = Advice("stays as it is: Windlass has no part for Celery yet", stays=True)
_COROUTINES_STATUS = Advice(
    "windlass.TaskStatus: equal to the same texts, but it prints as 'completed', where the old one "
    "prints as 'TaskStatus.COMPLETED'"
)

_STATES: dict[str, Entry] = {name: Same(name) for name in ("TaskPriority", "TaskStatus")}
_ERRORS: dict[str, Entry] = {
    name: Same(name)
    for name in (
        "InvalidTaskStateError",
        "TaskCancellationError",
        "TaskDependencyError",
        "TaskError",
        "TaskExecutionError",
        "TaskNotFoundError",
        "TaskTimeoutError",
    )
}
_FAILED: dict[str, Entry] = {name: Same(name) for name in ("TaskDependencyError", "TaskError")}
_EXECUTORS: dict[str, Entry] = dict.fromkeys(
    ("AsyncExecutor", "Executor", "SequentialExecutor", "ThreadPoolExecutor"), _EXECUTOR
)
_MADE: dict[str, Entry] = {"Task": _TASK, "create_task_id": _NEW_ID}
_PLAIN: dict[str, Entry] = {
    "AsyncTaskManager": Manager(ASYNC),
    "AsyncTaskStatus": Same("TaskStatus"),
    "task_manager": Manager(ASYNC, shared=True),
}
_COROUTINES: dict[str, Entry] = {
    "TaskManager": Manager(COROUTINES),
    "TaskStatus": _COROUTINES_STATUS,
}

PATHS: dict[str, dict[str, Entry]] = {
    "core.task_management": {
        **_STATES, **_ERRORS, **_EXECUTORS,
        "Task": _TASK,
        "TaskManager": Manager(UNIFIED),
    },
    "core.task_management.task": {**_STATES, **_MADE},
    "core.task_management.task_manager": {
        "TaskManager": Manager(UNIFIED),
        "task_manager": Manager(UNIFIED, shared=True),
    },
    "core.task_management.executor": _EXECUTORS,
    "core.task_management.exceptions": _ERRORS,
    "core.task": {
        **_STATES, **_FAILED, **_MADE, **_PLAIN,
        "TaskBridge": Manager(BRIDGE),
        "task_bridge": Manager(BRIDGE, shared=True),
        "TaskMonitor": Manager(MONITOR),
        "task_monitor": Manager(MONITOR, shared=True),
        "TaskConfig": Advice("the arguments of windlass.TaskManager(...)"),
    },
    "core.task.async_task_manager": {**_STATES, **_FAILED, **_MADE, **_PLAIN},
    "core.task.bridge": {
        "TaskBridge": Manager(BRIDGE),
        "task_bridge": Manager(BRIDGE, shared=True),
    },
    "core.task.unified_manager": {
        "UnifiedTaskManager": Manager(ALL_AWAITED),
        "unified_task_manager": Manager(ALL_AWAITED, shared=True),
    },
    "core.task.monitor": {
        "TaskMonitor": Manager(MONITOR),
        "task_monitor": Manager(MONITOR, shared=True),
    },
    "core.task.config": {"TaskConfig": Advice("the arguments of windlass.TaskManager(...)")},
    "core.task_manager": {
        **_STATES, **_MADE,
        "TaskDependencyError": Same("TaskDependencyError"),
        "TaskManager": Manager(OLDEST),
        "task_manager": Manager(OLDEST, shared=True),
    },
    "core.thread_pool_manager": {
        **_STATES,
        "ThreadPoolManager": Manager(POOL),
        "thread_pool_manager": Manager(POOL, shared=True),
    },
    "core.event_system": dict.fromkeys(
        ("Event", "EventType", "create_task_event", "publish_sync", "subscribe", "unsubscribe"),
        _EVENTS,
    ),
    "core.config": {
        "config": Advice("USE_NEW_TASK_SYSTEM has no effect any more: drop it"),
    },
    "ailf": _COROUTINES,
    "ailf.async_tasks": {
        **_COROUTINES,
        "TaskInfo": Advice("windlass.TaskInfo; progress is from 0 to 1, error the exception"),
        "TaskReference": Advice("windlass.TaskHandle"),
    },
    "ailf.messaging": {},
    "ailf.messaging.redis": {},
    "ailf.messaging.async_redis": {},
    "ailf.schemas": {},
    "ailf.schemas.redis": {},
    "ailf.workers": {},
    "ailf.workers.celery_app": {},
    "ailf.workers.tasks": {},
}  # fmt: skip
"""Every old path with its names."""


def import_names(path: str) -> Advice:
    """What to say of a module that is imported as such."""
    return Advice(f"import the names that are used: from {path} import ...")


def entry_of(path: str, name: str) -> Entry | None:
    """What ``from path import name`` brings; None if that is no old path."""
    names = PATHS.get(path)
    if names is not None and name in names:
        return names[name]
    if f"{path}.{name}" in PATHS:
        return import_names(f"{path}.{name}")
    if names is None:
        return None
    if path.startswith(("ailf.messaging", "ailf.schemas")):
        return _REDIS
    if path.startswith("ailf.workers"):
        return _CELERY
    return Advice(f"{path} has no {name} here")


def is_old(path: str) -> bool:
    """Whether ``import path`` brings an old module."""
    return path in PATHS


# -- what was done with managers -----------------------------------------------------------------

_TEXT = "an exception where this gave a text: tm.get_task(id).error, whose text is str(error)"
_ERROR = "tm.get_task_error(id), a TaskError; what the function raised is tm.get_task(id).error"
_INFO = "tm.get_task(id), a TaskInfo: id, status, result, error, ended_at, ... as attributes"
_INFOS = "tm.list_tasks({filters}), a list of TaskInfo"
_METRICS = "tm.get_metrics(), an object: by_status, executors, free, ..."
_RESOURCE = "current_task().enter(resource) or .defer(function), inside the task's function"
_FROM_COROUTINE = (
    "handle = tm.submit(task(func, timeout=..., metadata=...), *args), not awaited; the function "
    "and its arguments, not the coroutine"
)
_HANDLE = "handle = tm.submit(func, *args), then await handle, or handle.result(timeout)"


def _listing(**filters: str) -> dict[str, tuple[str, str]]:
    return {name: ("counted", _INFOS.format(filters=text)) for name, text in filters.items()}


_COMMON: dict[str, tuple[str, str]] = {
    "register_task": ("register", "tm.register_task(name, func, *args, kwargs={...}, ...)"),
    "execute_task": ("execute", "tm.execute_task(id), to be awaited or asked for its result()"),
    "cancel_task": ("cancel", "tm.cancel_task(id), a bool; await the handle to see it cleaned up"),
    "get_task": ("pictured", _INFO),
    "get_task_status": ("same", "tm.get_task_status(id)"),
    "get_task_result": ("same", "tm.get_task_result(id)"),
    "get_task_error": ("", _TEXT),
    "get_metrics": ("", _METRICS),
    "start": ("same", "tm.start(), or async with TaskManager() as tm"),
    "stop": ("stop", "tm.stop(), to be awaited or asked for its result()"),
    "shutdown": ("stop", "tm.shutdown(wait=...), to be awaited or asked for its result()"),
    "is_running": ("", "tm.is_open"),
    "engine": ("", "tm itself"),
    **_listing(
        get_tasks_by_status="status=...",
        get_tasks_by_tag="tag=...",
        get_tasks_by_metadata="metadata={...}",
        get_tasks_by_type="type=...",
        get_tasks_by_focus="metadata={'focus_id': ...}",
        get_all_tasks="",
        get_pending_tasks="status='pending'",
        get_running_tasks="status='running'",
        get_completed_tasks="status='completed'",
        get_failed_tasks="status='failed'",
        get_cancelled_tasks="status='cancelled'",
        get_waiting_tasks="status='waiting'",
    ),
    "tasks": ("", _INFOS.format(filters="")),
    "running_tasks": ("", _INFOS.format(filters="status='running'")),
    "completed_tasks": ("", _INFOS.format(filters="status='completed'")),
    "failed_tasks": ("", _INFOS.format(filters="status='failed'")),
    "cancelled_tasks": ("", _INFOS.format(filters="status='cancelled'")),
    "waiting_tasks": ("", _INFOS.format(filters="status='waiting'")),
    "get_task_progress": ("same", "tm.get_task_progress(id)"),
    "update_task_progress": ("same", "tm.update_task_progress(id, progress, message)"),
    "cleanup_completed_tasks": ("clean_up", "tm.cleanup(seconds)"),
    "cleanup_task": ("forget", "tm.forget(id)"),
    "register_resource": ("", _RESOURCE),
    "thread_pool": ("", "tm.submit(func, *args): a plain function runs in a thread anyway"),
    "task_monitor": ("", "tm.list_tasks(), tm.subscribe(callback), windlass run PROGRAM"),
    "executors": ("", _METRICS),
    **dict.fromkeys(
        (
            "adjust_interval",
            "default_executor_type",
            "max_concurrent_tasks",
            "max_workers",
            "min_workers",
            "resource_monitor",
        ),
        ("", "keep it beside the manager, or see tm.get_metrics().executors"),
    ),
}  # fmt: skip

METHODS: dict[str, dict[str, tuple[str, str]]] = {
    UNIFIED: {**_COMMON, "get_task_error": ("", _ERROR)},
    ASYNC: {**_COMMON, "submit_task": ("", _HANDLE)},
    ALL_AWAITED: _COMMON,
    OLDEST: {
        **_COMMON,
        "get_task_error": ("", _ERROR),
        "start": ("", "nothing runs by being registered: tm.execute_task(id), or tm.submit(...)"),
    },
    POOL: {
        **_COMMON,
        "submit": ("submit", _HANDLE),
        "cancel": ("cancel", "tm.cancel_task(id)"),
        "get_stats": ("", _METRICS),
        "get_task": ("", _INFO),
        # It counts among them what waits for others.
        "get_pending_tasks": ("", _INFOS.format(filters="status=('pending', 'waiting')")),
    },
    BRIDGE: {
        **_COMMON,
        "start_task": ("drive", "tm.drive(id).start()"),
        "complete_task": ("drive", "tm.drive(id).complete(result)"),
        "fail_task": ("drive", "tm.drive(id).fail(error)"),
    },
    MONITOR: {
        **_COMMON,
        **dict.fromkeys(
            ("auto_shutdown_callback", "auto_shutdown_idle_time", "auto_shutdown_on_complete"),
            ("", "leave the manager's block when there is no more to do"),
        ),
        "log_dir": ("", "logging: every record made inside a task bears its id"),
        "register_task": ("", "tm.external(name) gives a task to be driven by hand"),
        "start_task": ("", "handle.start()"),
        "update_task_progress": ("", "handle.set_progress(fraction, message)"),
        "complete_task": ("", "handle.complete(result)"),
        "fail_task": ("", "handle.fail(error)"),
        "cancel_task": ("", "handle.cancel()"),
        "get_task_info": ("", _INFO),
        "log_task_message": ("", "logging: every record made inside a task bears its id"),
        "get_task_log": ("", "logging: every record made inside a task bears its id"),
        "export_task_info": ("", "tm.get_task(id), written as you like"),
    },
    COROUTINES: {
        "submit": ("", _FROM_COROUTINE),
        "wait_for_task": ("", "await the handle; it raises where this gave None"),
        "get_task_info": ("", _INFO),
        "update_progress": ("", "tm.update_task_progress(id, percent / 100), or current_task()"),
        "cancel_task": ("", "handle.cancel()"),
        "list_tasks": ("", _INFOS.format(filters="status=...")),
        "start": ("", "async with TaskManager(max_concurrent_tasks=...) as tm"),
        "stop": ("", "leaving the block waits for all tasks; tm.stop() cancels them"),
        "tasks": ("", "the handles"),
        "task_info": ("", "handle.info"),
    },
}
"""What the managers of each kind can be asked for: the rule in ``calls`` that rewrites it, if there
is one, and what to write instead."""

CLASS_ADVICE = {
    MONITOR: "TaskManager: every task is watched, see tm.list_tasks() and tm.subscribe(callback)",
    COROUTINES: "TaskManager(max_concurrent_tasks=...): here there is a limit, so choose it",
}


def advice_for(kind: str, attribute: str, manager: str) -> str:
    """What to write instead of ``manager.attribute``, where ``manager`` is one of Windlass's."""
    text = METHODS[kind].get(attribute, ("", "nothing here has that name"))[1]
    return re.sub(r"\btm\b", manager, text)


def behind(kind: str, manager: str) -> str:
    """The Windlass manager behind an old one, for what is written anew beside what is not."""
    return f"{manager}.{'engine' if kind == COROUTINES else 'windlass'}"


def rule_for(kind: str, attribute: str) -> str:
    """The name of the rule in ``calls`` that rewrites ``manager.attribute(...)``; or nothing."""
    return METHODS[kind].get(attribute, ("", ""))[0]
