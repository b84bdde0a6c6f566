"""The example of a cluster, started by its one command."""


def test_the_newsroom_on_a_cluster(newsroom):
    running, folder = newsroom
    out, errors = running.communicate()
    assert running.returncode == 0, errors
    result, place, *workers = out.splitlines()
    assert result == "86 stories, 10 copies, 4 pages missing"
    assert place == f"The front page is in {folder}/newsroom.html"
    assert (folder / "newsroom.html").read_text().count("<meter") == 86
    assert [line.split(" ran ")[0] for line in workers] == ["The first worker", "The second worker"]
    assert all("fetch parse score" in line for line in workers)
    assert "Traceback" not in errors
    assert "timed out, retry in" in errors
