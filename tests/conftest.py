"""The plugin comes with the package; where that is only on the path, not installed, it is named."""

from importlib.metadata import entry_points

_PLUGIN = "windlass.testing.plugin"
_installed = any(entry.value == _PLUGIN for entry in entry_points(group="pytest11"))

pytest_plugins = ["pytester"] if _installed else ["pytester", _PLUGIN]
