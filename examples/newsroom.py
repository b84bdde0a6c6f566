"""A newsroom: a hundred pages are fetched, parsed, scored and printed as one front page.

The site they come from is served by this very program, and is like any other: some pages are slow,
busy, gone or broken. Watch it at work with `windlass run examples/newsroom.py`.
"""

import asyncio
import random
import re
import time
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from windlass import Retry, TaskManager, current_task, task

PAGES, TRIES = 100, 3
REPORT = Path("newsroom.html").absolute()
HOT = ["storm", "harbour", "election", "rocket", "orchestra", "bridge"]
WORDS = [*HOT, "the", "a", "old", "night", "says", "after", "before", "over", "under", "small"]
STYLE = "body{font:1rem/1.6 Georgia,serif;max-width:40rem;margin:3rem auto} meter{width:6rem}"


@dataclass
class Story:
    title: str
    words: list[str]
    score: float = 0.0


@dataclass
class Missing:
    """A page that could not be had: a result like any other, the paper comes out without it."""

    why: str


# --- the tasks ------------------------------------------------------------------------------------


@task(timeout=1.0, retry=Retry(retries=TRIES - 1, delay=0.4))
async def fetch(port: int, number: int) -> str | Missing:
    """A coroutine. A slow page times out, a busy one raises: both are tried again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    current_task().defer(writer.close)  # however this ends
    writer.write(f"GET /{number} HTTP/1.0\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    status = int(head.split()[1])
    if status == 503 and current_task().attempt < TRIES:
        raise ConnectionError(f"page {number} is busy")
    return body if status == 200 else Missing(f"page {number}: the site says {status}")


@task(executor="process", priority="HIGH")
def parse(page: str | Missing, number: int) -> Story | Missing:
    """Hard work, done in a process of its own, and before more is fetched."""
    if isinstance(page, Missing):
        return page
    reader = StoryReader()
    reader.feed(page)
    if not page.endswith("</html>"):
        return Missing(f"page {number}: it breaks off after {len(reader.words)} words")
    return Story(reader.title, reader.words)


def score(story: Story | Missing) -> Story | Missing:
    """A plain function needs no decorator; it runs in a thread."""
    if isinstance(story, Story):
        counts = Counter(story.words)
        story.score = 100 * sum(counts[word] for word in HOT) / len(story.words)
    return story


def dedupe(stories: list[Story | Missing]) -> list[Story | Missing]:
    """Leave out what one paper copied from another, and say how far it is."""
    kept: dict[str, Story | Missing] = {}
    for done, story in enumerate(stories, start=1):
        kept.setdefault(story.why if isinstance(story, Missing) else " ".join(story.words), story)
        time.sleep(0.01)  # an editor reads
        current_task().progress(done / len(stories), f"{done} of {len(stories)} compared")
    return list(kept.values())


def publish(found: list[Story | Missing]) -> str:
    """Write the front page."""
    stories = sorted((one for one in found if isinstance(one, Story)), key=lambda s: -s.score)
    missing = [one.why for one in found if isinstance(one, Missing)]
    ranked = "".join(f"<li><meter max=60 value={s.score}></meter> {s.title}" for s in stories)
    lost = "".join(f"<li>{why}" for why in missing)
    REPORT.write_text(
        f"<!doctype html><meta charset=utf-8><title>Newsroom</title><style>{STYLE}</style>"
        f"<h1>Today's front page</h1><ol>{ranked}</ol><h2>Could not be had</h2><ul>{lost}</ul>"
    )
    copies = PAGES - len(found)
    return f"{len(stories)} stories, {copies} copies left out, {len(missing)} pages missing"


async def main() -> None:
    site = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = site.sockets[0].getsockname()[1]
    async with site, TaskManager(max_concurrent_tasks=12) as tm:
        pages = tm.map(fetch, [port] * PAGES, range(PAGES))
        # An output as an argument is a dependency: each page goes on as soon as it is there.
        stories = [tm.submit(parse, page.output, number) for number, page in enumerate(pages)]
        scored = [tm.submit(score, story.output) for story in stories]
        unique = tm.submit(dedupe, [story.output for story in scored])
        print(await tm.submit(publish, unique.output))
    print(f"The front page is in {REPORT}")


# --- what they work with --------------------------------------------------------------------------


class StoryReader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.title, self.words = "", []

    def handle_data(self, data):
        self.title = self.title or data
        self.words += re.findall(r"[a-z]+", data.lower())


visits = Counter()


async def answer(reader, writer):
    number = int((await reader.readline()).split()[1][1:])
    visits[number] += 1
    first = visits[number] == 1
    await asyncio.sleep(3 if first and number % 16 == 7 else 0.3 + number % 7 / 10)
    busy = number == 66 or (first and number % 9 == 4)
    page = draw_page(number if number < 90 else number - 50)  # the last ten are copies
    status = 503 if busy else 404 if number in {31, 57} else 200
    writer.write(f"HTTP/1.0 {status} -\r\n\r\n{page[: 9000 if number == 22 else None]}".encode())
    writer.close()


def draw_page(number):
    dice = random.Random(number)
    title = " ".join(dice.choices(WORDS, k=6)).capitalize()
    words = dice.choices(WORDS, weights=dice.choices(range(1, 9), k=len(WORDS)), k=6000)
    return f"<html><title>{title}</title>" + "".join(f"<b>{w}</b> " for w in words) + "</html>"


if __name__ == "__main__":
    asyncio.run(main())
