"""Tasks that others run and report on: `core.task.task_monitor`."""

import json
import threading
from pathlib import Path

import pytest
from windlass import DuplicateTaskError

from core.task import TaskMonitor, task_monitor
from core.task.monitor import TaskMonitor as SameMonitor

SOON = 60


def test_reports_and_what_they_amount_to(new, tmp_path):
    monitor = new(TaskMonitor, tmp_path)
    id = monitor.register_task("t1", "crawl", "fetches", {"k": 1})
    assert id == "t1"
    info = monitor.get_task_info(id)
    assert (info["task_id"], info["task_type"], info["description"]) == ("t1", "crawl", "fetches")
    assert (info["status"], info["metadata"], info["progress"]) == ("pending", {"k": 1}, 0.0)
    info["metadata"]["k"] = info["status"] = "changed"
    assert monitor.get_task_info(id)["metadata"] == {"k": 1}, "it was a copy"
    assert monitor.start_task(id)
    assert monitor.update_task_progress(id, 0.5, "half")
    assert monitor.get_task_progress(id) == (0.5, "half")
    assert monitor.get_task_status(id) == "running"
    assert monitor.get_task_info(id)["updated_at"] > monitor.get_task_info(id)["started_at"]
    assert monitor.complete_task(id, [1])
    assert not monitor.fail_task(id, "late")
    assert monitor.get_task_result(id) == [1]
    info = monitor.get_task_info(id)
    assert (info["status"], info["result"], info["error"]) == ("completed", [1], None)
    assert info["created_at"] <= info["started_at"] <= info["completed_at"]
    bad, gone = monitor.register_task(), monitor.register_task(task_type="crawl")
    assert monitor.fail_task(bad, OSError("no net"))
    assert monitor.cancel_task(gone, "why not")
    assert [monitor.get_task_error(one) for one in (bad, gone)] == ["no net", "why not"]
    assert list(monitor.get_all_tasks()) == ["t1", bad, gone]
    assert list(monitor.get_tasks_by_status("FAILED")) == [bad]
    assert list(monitor.get_tasks_by_type("crawl")) == ["t1", gone]
    with pytest.raises(DuplicateTaskError):
        monitor.register_task("t1")


def test_unknown_ids(new, tmp_path):
    monitor = new(TaskMonitor, tmp_path / "none")
    for read in (
        "get_task_info",
        "get_task_status",
        "get_task_result",
        "get_task_error",
        "get_task_log",
        "export_task_info",
    ):
        assert getattr(monitor, read)("nobody") is None
    assert monitor.get_task_progress("nobody") == (0.0, "")
    assert monitor.log_task_message("nobody", "x") is False
    assert monitor.start_task("nobody") is False
    assert monitor.cleanup_task("nobody") is False
    assert not (tmp_path / "none").exists(), "no folder before there is a line"


def test_each_task_has_a_log_file_of_its_own(new, tmp_path):
    monitor = new(TaskMonitor, str(tmp_path / "logs"))
    long = "x" * 500
    ids = ["../../escape", "/etc/passwd", "a/b", "a%2Fb", "..", ".", "nul\0", long, long + "y"]
    ids += ["Ünï", "\udc80"]
    for id in ids:
        monitor.register_task(id)
        assert monitor.get_task_log(id) == ""
        assert monitor.log_task_message(id, f"hello {id!r}")
        assert monitor.log_task_message(id, "again")
    for id in ids:
        first, second = monitor.get_task_log(id).splitlines()
        assert first.endswith(f"hello {id!r}")
        assert second.endswith("again")
    assert len(list((tmp_path / "logs").iterdir())) == len(ids)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"], "nothing outside"


def test_info_is_exported(new, tmp_path):
    monitor = new(TaskMonitor, tmp_path)
    id = monitor.register_task("../x", metadata={"odd": object()})
    monitor.complete_task(id, {1, 2})
    path = monitor.export_task_info(id)
    assert path.startswith(str(tmp_path / "task_"))
    told = json.loads(Path(path).read_text(encoding="utf-8"))
    assert (told["task_id"], told["status"], told["result"]) == ("../x", "completed", "{1, 2}")
    chosen = tmp_path / "deeper" / "out.json"
    assert monitor.export_task_info(id, str(chosen)) == str(chosen)
    assert json.loads(chosen.read_text())["task_id"] == "../x"


def test_cleaning_up(new, tmp_path):
    monitor = new(TaskMonitor, tmp_path)
    a, b, c = (monitor.register_task() for _ in range(3))
    monitor.complete_task(a)
    monitor.fail_task(b, "x")
    assert monitor.cleanup_task(a)
    assert monitor.cleanup_completed_tasks(0) == 1
    assert list(monitor.get_all_tasks()) == [c]


def test_the_callback_when_all_is_done(new, tmp_path):
    calls = []
    monitor = new(TaskMonitor, tmp_path, True, auto_shutdown_callback=lambda: calls.append("done"))
    a, b = monitor.register_task(), monitor.register_task()
    monitor.complete_task(a)
    assert calls == []
    monitor.cancel_task(b)
    assert calls == ["done"]


def test_the_callback_after_some_idle_time(new, tmp_path, caplog):
    called = threading.Event()

    def callback():
        called.set()
        raise RuntimeError("not today")

    monitor = new(
        TaskMonitor, tmp_path, auto_shutdown_idle_time=0.02, auto_shutdown_callback=callback
    )
    a = monitor.register_task()
    monitor.complete_task(a)
    b = monitor.register_task()
    assert monitor._alarm.status == "cancelled", "something is open again"
    assert not called.is_set()
    monitor.complete_task(b)
    assert called.wait(SOON)
    monitor._alarms.shutdown().result(SOON)
    assert "not today" in caplog.text


def test_the_global_monitor():
    assert isinstance(task_monitor, SameMonitor)
    id = task_monitor.register_task()
    assert task_monitor.complete_task(id, 1)
