"""How busy the machine is, for limits that find themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.meters import Load

if TYPE_CHECKING:
    from .._core.flow import Adaptive

# What a container may use of the memory, and uses: the machine around it has more than that.
_LIMIT = "/sys/fs/cgroup/memory.max"
_USED = "/sys/fs/cgroup/memory.current"


def require_psutil(adaptive: Adaptive) -> None:
    """Raise ImportError with the remedy if ``adaptive`` asks for what nobody can measure."""
    if adaptive.cpu is None and adaptive.memory is None:
        return
    try:
        import psutil  # noqa: PLC0415  # an extra, for those who have such a limit
    except ImportError:
        raise ImportError(
            "Adaptive(...) looks at the CPU and the memory with psutil, which is not installed: "
            "pip install 'windlass[adaptive]', or pass cpu=None, memory=None"
        ) from None
    psutil.cpu_percent()  # the first look only begins to measure


def read_load() -> Load:
    """CPU since the last look, and memory now."""
    try:
        import psutil  # noqa: PLC0415
    except ImportError:  # not needed by any limit, or it would have been refused
        return Load()
    memory = psutil.virtual_memory()
    used = 1 - memory.available / memory.total
    return Load(psutil.cpu_percent() / 100, max(used, _share_of_container()))


def _share_of_container() -> float:
    from pathlib import Path  # noqa: PLC0415  # an eighth of the import, for who has such a limit

    try:
        return int(Path(_USED).read_text()) / int(Path(_LIMIT).read_text())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return 0.0
