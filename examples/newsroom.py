"""A newsroom: a hundred pages are fetched, parsed, scored and printed as one front page.

The site they come from is served by this very program, and is like any other: some pages are slow,
busy, gone or broken. Watch it at work with `windlass run examples/newsroom.py`.
"""

import asyncio
import random
import re
import time
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from windlass import Gate, Rate, Retry, TaskManager, current_task, task

PAGES, TRIES = 100, 3
REPORT = Path("newsroom.html").absolute()
HOT = ["storm", "harbour", "election", "rocket", "orchestra", "bridge"]
WORDS = [*HOT, "the", "a", "old", "night", "says", "after", "before", "over", "under", "small"]
visited = [0] * PAGES
STYLE = "body{font:1rem/1.6 Georgia,serif;max-width:40rem;margin:3rem auto} meter{width:6rem}"


@dataclass
class Story:
    title: str
    words: list[str]
    score: float = 0.0


@dataclass
class Missing:
    why: str  # a page that could not be had is a result, too: the paper comes out without it


# --- the tasks ------------------------------------------------------------------------------------


@task(timeout=2.0, retry=Retry(retries=TRIES - 1, delay=0.4), gates=["site"])
async def fetch(port: int, number: int) -> str | Missing:
    """A coroutine. A slow page times out, a busy one raises: both are tried again, politely."""
    me, page = current_task(), b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    me.defer(writer.close)  # however this ends
    writer.write(f"GET /{number} HTTP/1.0\r\n\r\n".encode())
    _, status, *_, size = (await reader.readuntil(b"\r\n\r\n")).decode().split()
    while status == "200" and (more := await reader.read(4096)):
        page += more
        me.progress(len(page) / int(size), f"page {number}")
    if status == "503" and me.attempt < TRIES:
        raise ConnectionError(f"page {number} is busy")
    return page.decode() if page else Missing(f"page {number}: the site says {status}")


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
    """A plain function needs no decorator, even with options; it runs in a thread."""
    if isinstance(story, Story):
        story.score = 100 * sum(word in HOT for word in story.words) / len(story.words)
    return story


def dedupe(stories: list[Story | Missing]) -> list[Story | Missing]:
    """Leave out what one paper copied from another, and say how far it is."""
    kept: dict[str, Story | Missing] = {}
    for done, story in enumerate(stories, start=1):
        kept.setdefault(story.why if isinstance(story, Missing) else " ".join(story.words), story)
        time.sleep(0.01)  # editors take their time
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
    return f"{len(stories)} stories, {PAGES - len(found)} copies, {len(missing)} pages missing"


async def main() -> None:
    site = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = site.sockets[0].getsockname()[1]
    polite = Gate("site", slots=10, rate=Rate(40, per=1.0))  # to whom we visit
    async with site, TaskManager(max_concurrent_tasks=12, gates=[polite]) as tm:
        pages = tm.map(fetch, [port] * PAGES, range(PAGES))
        # An output as an argument is a dependency: each page goes on as soon as it is there.
        stories = [tm.submit(parse, page.output, number) for number, page in enumerate(pages)]
        scored = [tm.submit(task(score, priority="HIGH"), story.output) for story in stories]
        unique = tm.submit(dedupe, [story.output for story in scored])
        print(await tm.submit(publish, unique.output))
    print(f"The front page is in {REPORT}")


# --- what they work with --------------------------------------------------------------------------


class StoryReader(HTMLParser):
    def reset(self):
        super().reset()
        self.title, self.words = "", []

    def handle_data(self, data):
        self.title = self.title or data
        self.words += re.findall(r"[a-z]+", data.lower())


async def answer(reader, writer):
    number = int((await reader.readuntil(b"\r\n\r\n")).split()[1][1:])
    visited[number] += 1
    first = visited[number] == 1
    await asyncio.sleep(3 if first and number % 16 == 7 else 0.1)
    busy = number == 66 or (first and number % 9 == 4)
    status = 404 if number in {31, 57} else 503 if busy else 200
    page = draw_page(number if number < 90 else number - 50).encode()  # the last ten are copies
    writer.write(f"HTTP/1.0 {status} -\r\nContent-Length: {len(page)}\r\n\r\n".encode())
    parts = 0 if status != 200 or reader.at_eof() else 3 if number == 22 else 10
    for part in range(parts):
        writer.write(page[part * len(page) // 10 : (part + 1) * len(page) // 10])
        await asyncio.sleep(0.02 + number % 7 / 100)
    writer.close()


def draw_page(number):
    dice = random.Random(number)
    title = " ".join(dice.choices(WORDS, k=6)).capitalize()
    words = dice.choices(WORDS, weights=dice.choices(range(1, 9), k=len(WORDS)), k=6000)
    return f"<html><title>{title}</title>" + "".join(f"<b>{w}</b> " for w in words) + "</html>"


if __name__ == "__main__":
    asyncio.run(main())
