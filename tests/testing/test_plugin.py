"""The plugin, in runs of pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import windlass


@pytest.fixture
def run(pytester, monkeypatch, pytestconfig):
    # Installed, the plugin is found by itself, under the name of its entry point.
    installed = pytestconfig.pluginmanager.has_plugin("windlass")
    plugins = [] if installed else ["-p", "windlass.testing.plugin"]
    plugins += ["-p", "no:hypothesispytest"]  # each run would import all of it anew

    def run(text, *args, **environment):
        monkeypatch.delenv("WINDLASS_SEED", raising=False)
        monkeypatch.setenv("PYTHONPATH", str(Path(windlass.__file__).parents[1]))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        pytester.makepyfile(HEAD + text)
        return pytester.runpytest_inprocess(*plugins, "-p", "no:cacheprovider", *args)

    return run


HEAD = """
import pytest
from windlass import task
from windlass.testing import Faults

SEEN = []

async def work(manager):
    return await manager.submit(sorted, [2, 1])
"""


def test_a_test_gets_a_world_by_asking_for_it(run):
    run("def test(windlass_world): assert windlass_world.run(work) == [1, 2]").assert_outcomes(
        passed=1
    )


def test_without_faults_the_seed_is_always_the_same(run):
    run("def test(windlass_world): assert windlass_world.seed == 0").assert_outcomes(passed=1)


def test_the_marker_sets_the_world_up(run):
    run("""
@pytest.mark.windlass(seed=7, faults=Faults(fail=1), patience=3, max_concurrent_tasks=1)
def test(windlass_world):
    assert windlass_world.seed == 7
    assert windlass_world.faults.fail == 1
    assert windlass_world.manager().max_concurrent_tasks == 1
""").assert_outcomes(passed=1)


def test_the_closest_marker_wins(run):
    run("""
pytestmark = pytest.mark.windlass(seed=1, max_concurrent_tasks=5)

@pytest.mark.windlass(seed=2)
def test(windlass_world):
    assert windlass_world.seed == 2
    assert windlass_world.manager().max_concurrent_tasks == 5
""").assert_outcomes(passed=1)


def test_a_test_can_be_run_with_many_seeds(run):
    result = run(
        """
@pytest.mark.windlass(seeds=3)
def test(windlass_world, windlass_seed):
    assert windlass_world.seed == windlass_seed
    SEEN.append(windlass_seed)

def test_seen():
    assert SEEN == [0, 1, 2]
""",
        "-v",
    )
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*::test?seed=2? PASSED*"])


def test_or_with_these(run):
    run("""
@pytest.mark.windlass(seeds=[5, 8])
def test(windlass_world):
    assert windlass_world.seed in {5, 8}
""").assert_outcomes(passed=2)


FAILING = """
@pytest.mark.windlass(faults=Faults(fail=1))
def test(windlass_world):
    windlass_world.run(work)
"""


def test_a_failure_tells_what_happened_and_how_to_see_it_again(run):
    result = run(FAILING)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r".* Windlass, seed \d+ .*",
            r" +0.000 s  sorted \[w1-1\] pending: submitted",
            r".*running -> failed: failed \(InjectedFault: a fault that the test asked for.*",
            r"to replay it:  WINDLASS_SEED=\d+ pytest '.*::test'",
        ],
        consecutive=False,
    )


def test_the_seed_of_the_environment_replays_it(run):
    result = run(FAILING, WINDLASS_SEED="4711")
    result.stdout.fnmatch_lines(["* Windlass, seed 4711 *", "to replay it:  WINDLASS_SEED=4711*"])


def test_the_line_that_replays_it_fits_tests_of_many_seeds(run):
    text = (
        "@pytest.mark.windlass(seeds=3)\ndef test(windlass_world): assert windlass_world.seed != 2"
    )
    result = run(text)
    result.assert_outcomes(passed=2, failed=1)
    (line,) = [line for line in result.outlines if line.startswith("to replay it:")]
    _, _, node = line.partition("pytest ")
    run(text, node.strip("'"), WINDLASS_SEED="2").assert_outcomes(failed=1)


def test_each_time_another_seed_if_there_are_faults_and_no_seed(run):
    text = "@pytest.mark.windlass(faults=Faults(slow=1))\ndef test(windlass_world): assert 0"
    seeds = {line for _ in range(3) for line in run(text).outlines if "to replay it" in line}
    assert len(seeds) > 1


def test_the_marker_is_declared(run):
    run(FAILING, "--strict-markers", "--markers").stdout.fnmatch_lines(["*windlass(seed=0, *"])


def test_the_marker_takes_names(run):
    result = run("@pytest.mark.windlass(7)\ndef test(windlass_world): pass")
    result.stdout.fnmatch_lines(["*the windlass marker takes its options by name: seed=7*"])


def test_the_plugin_brings_along_nothing_that_is_not_asked_for():
    program = (
        "import sys, windlass; before = set(sys.modules); import windlass.testing.plugin; "
        "print({m for m in set(sys.modules) - before if m.startswith('windlass')})"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() in {
        "{'windlass.testing.plugin', 'windlass.testing'}",
        "{'windlass.testing', 'windlass.testing.plugin'}",
    }


def test_names_are_there_when_they_are_asked_for():
    from windlass import testing

    assert {"World", "Faults", "VirtualClock"} <= set(dir(testing))
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Wrold'"):
        testing.Wrold  # noqa: B018
