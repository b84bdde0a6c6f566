"""What the documentation shows is run, and where it points to there is something."""

import pydoc
import re
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import windlass
from windlass.decorators import CallOptions

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [*sorted(ROOT.glob("*.md")), *PAGES]

FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")


def by_name(page):
    return page.relative_to(ROOT).as_posix()


def shown(page):
    """The text of a page, without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def has_anchor(page, anchor):
    """Whether a page has what a link to it points at: a heading, or an object described there."""
    text = shown(page)
    for described in re.findall(r"^::: (\S+)$", text, re.MULTILINE):
        if f"{anchor}.".startswith(f"{described}."):
            return pydoc.locate(anchor) is not None
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|`", r"\1", heading)
        plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return anchor in found


def run_snippets(page, *options):
    command = [sys.executable, *options, DOCS / "run.py", page]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def runs(request):
    """What becomes of each page: two run at a time, those first that start pytest themselves."""
    wanted = [item for item in request.session.items if item.path == request.path]
    pages = [item.callspec.params["page"] for item in wanted if "runs" in item.fixturenames]
    pages.sort(key=lambda page: page.read_text("utf-8").count('title="test_'), reverse=True)
    pool = ThreadPoolExecutor(2)
    yield {page: pool.submit(run_snippets, page, "-W", "error") for page in pages}
    pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(300)  # some pages start pytest several times
@pytest.mark.parametrize(
    "page", [page for page in TEXTS if "```python" in page.read_text("utf-8")], ids=by_name
)
def test_snippets_run_and_print_what_the_page_shows(page, runs):
    done = runs[page].result()
    assert not done.returncode, done.stdout + done.stderr


def test_a_wrong_output_would_be_noticed(tmp_path):
    page = tmp_path / "page.md"
    for shows, code in {"# -> 2": 0, "# -> 3": 1, "": 1}.items():
        page.write_text(f"```python\nprint(1 + 1)  {shows}\n```\n")
        done = run_snippets(page)
        assert done.returncode == code, done.stdout + done.stderr


def test_few_snippets_are_not_run():
    spared = [page for page in TEXTS if 'title="not run' in page.read_text("utf-8")]
    clusters = ["docs/how-to/celery.md", "docs/how-to/executors.md"]  # other tests start those
    assert [by_name(page) for page in spared] == clusters


@pytest.mark.parametrize("page", TEXTS, ids=by_name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(shown(page)):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert DOCS not in page.parents or DOCS in target.resolve().parents, (
            f"{link} leads out of the site"
        )
        assert not anchor or has_anchor(target, anchor), f"{link}: there is no such heading"


def test_every_page_has_its_place_in_the_site():
    configured = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    _, nav = configured.split("\nnav:\n")
    named = re.findall(r"([\w/-]+\.md)\s*$", nav, re.MULTILINE)
    assert sorted(named) == [page.relative_to(DOCS).as_posix() for page in PAGES]


def test_every_option_is_described():
    page = (DOCS / "reference" / "options.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE)
    names = {name.strip("`") for row in described for name in row.split(", ")}
    assert names == CallOptions.__annotations__.keys()


def test_every_public_name_is_in_the_reference():
    pages = [DOCS / "reference" / name for name in ("windlass.md", "errors.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    referred = set(re.findall(r"^::: windlass\.(\w+)$", text, re.MULTILINE))
    public = {
        name
        for name, value in vars(windlass).items()
        if not name.startswith("_") and not isinstance(value, type(windlass))
    }
    errors = {name for name in public if hasattr(windlass.errors, name)}
    assert public - errors == referred - errors - {"errors"}
