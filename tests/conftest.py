"""What tests of several parts need: the plugin, and a cluster."""

from importlib.metadata import entry_points

import pytest
from hypothesis import HealthCheck, settings

# It comes with the package; where that is only on the path, not installed, it is named.
_PLUGIN = "windlass.testing.plugin"
_installed = any(entry.value == _PLUGIN for entry in entry_points(group="pytest11"))

pytest_plugins = ["pytester"] if _installed else ["pytester", _PLUGIN]

# Hypothesis draws the same examples every time; `--hypothesis-profile=default` draws others. How
# long one takes says more about the machine than about the code.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(scope="module")
def dask_client():
    """A client of a Dask cluster, which has one process for two tasks at once."""
    distributed = pytest.importorskip(
        "distributed", reason="needs Dask to have a cluster: pip install distributed"
    )
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
