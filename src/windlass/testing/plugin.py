"""The pytest plugin: a test gets a world of its own by asking for ``windlass_world``.

::

    def test_gives_up_after_three_retries(windlass_world):
        async def scenario(manager):
            handle = manager.submit(flaky.options(retry=Retry(3, delay=60, backoff=1, jitter=0)))
            assert await handle == "ok"
            assert windlass_world.elapsed == pytest.approx(180)

        windlass_world.run(scenario)

The marker sets the world up; the settings that are not its own are those of its managers::

    @pytest.mark.windlass(seeds=20, faults=Faults(crash=0.1), max_concurrent_tasks=2)

``seed=7`` takes one seed, ``seeds=20`` runs the test with each of twenty; without either, a test
that has faults gets another seed each time. When it fails, the report ends with what happened, and
with the line that makes it happen again: ``WINDLASS_SEED=... pytest ...``.

No plugin for asynchronous tests is needed. With one, have it run the test on a virtual loop, and
open the manager there: ``async with windlass_world.manager() as manager``. anyio takes the loop
from a fixture, pytest-asyncio from a hook in ``conftest.py``::

    @pytest.fixture
    def anyio_backend():
        return "asyncio", {"loop_factory": windlass.testing.VirtualLoop}


    def pytest_asyncio_loop_factories(config, item):
        return {"virtual": windlass.testing.VirtualLoop}
"""

from __future__ import annotations

import os
from random import SystemRandom
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .world import World

_SEED = "WINDLASS_SEED"
_SHOWN = 100
_MARKER = (
    "windlass(seed=0, seeds=None, faults=Faults(), start=None, patience=5.0, **settings): "
    "how windlass_world is set up: the seed or seeds of its faults and jitter, the faults, the "
    "date it starts at, how long the clock waits for real work, and the settings of its managers"
)
_World = pytest.StashKey["World"]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for several seeds with each of them."""
    seeds = _options(metafunc.definition).get("seeds")
    if seeds is None or "windlass_seed" not in metafunc.fixturenames:
        return
    chosen = range(seeds) if isinstance(seeds, int) else seeds
    if _SEED in os.environ:
        chosen = [int(os.environ[_SEED])]
    metafunc.parametrize("windlass_seed", chosen, ids=lambda seed: f"seed={seed}", indirect=True)


@pytest.fixture
def windlass_seed(request: pytest.FixtureRequest) -> int:
    """What the world's faults and jitter are drawn from."""
    if _SEED in os.environ:
        return int(os.environ[_SEED])
    options = _options(request.node)
    if hasattr(request, "param"):
        return int(request.param)
    if "seed" in options or "faults" not in options:
        return int(options.get("seed", 0))
    return SystemRandom().randrange(1_000_000)


@pytest.fixture
def windlass_world(request: pytest.FixtureRequest, windlass_seed: int) -> Iterator[World]:
    """The real engine in memory, in virtual time, with seeded faults: a ``World``."""
    from .world import World  # noqa: PLC0415  # not on every start of pytest

    options = _options(request.node)
    for name in ("seed", "seeds"):
        options.pop(name, None)
    with World(seed=windlass_seed, **options) as world:
        request.node.stash[_World] = world
        yield world


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    """Tell what happened in the world of a test that failed, and how to make it happen again."""
    report = yield
    world = item.stash.get(_World, None)
    if world is not None and report.failed:
        replay = f"to replay it:  {_SEED}={world.seed} pytest '{item.nodeid}'"
        story = world.story(_SHOWN) or "nothing happened"
        report.sections.append((f"Windlass, seed {world.seed}", f"{story}\n\n{replay}"))
    return report


def _options(node: Any) -> dict[str, Any]:
    """What the markers say, the closest one first."""
    options: dict[str, Any] = {}
    for marker in node.iter_markers("windlass"):
        if marker.args:
            raise pytest.UsageError("the windlass marker takes its options by name: seed=7")
        options = {**marker.kwargs, **options}
    return options
