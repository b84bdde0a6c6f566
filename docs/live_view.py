"""Makes ``docs/images/live-view.svg``, the picture of ``windlass run``, from a real run.

python docs/live_view.py
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
import threading
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from windlass.cli.summary import news_line
from windlass.cli.tally import Tally
from windlass.cli.view import picture
from windlass.observe import on_open

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "windlass run examples/newsroom.py"
COLUMNS, ROWS, LINES = 100, 20, 5
AT_FETCHED = 62  # pages; that is when there is most to see

THEME = TerminalTheme(
    (24, 27, 34),
    (214, 220, 229),
    [
        (24, 27, 34),
        (240, 98, 104),
        (126, 204, 132),
        (233, 190, 109),
        (110, 165, 246),
        (200, 146, 234),
        (86, 194, 206),
        (214, 220, 229),
    ],
    [(82, 90, 105)],
)


def main() -> None:
    """Run the newsroom, and draw what its view shows when it is well under way."""
    sys.path.insert(0, str(ROOT / "examples"))
    import newsroom  # noqa: PLC0415  # it can be found from here on

    paper = Console(
        record=True,
        file=io.StringIO(),
        width=COLUMNS,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    tally = Tally(paper.get_time)
    on_open(tally.watch)
    over = threading.Event()

    def draw() -> None:
        news = []
        while not over.wait(0.2):
            tally.rate()
            news += tally.news(LINES)[0]
            if tally.by_name.get("fetch", {}).get("completed", 0) >= AT_FETCHED:
                break
        paper.print(Text.assemble(("$ ", "bold green"), COMMAND))
        for change in news[-LINES:]:
            paper.print(news_line(change), no_wrap=True)
        paper.print()
        paper.print(picture(tally, title="examples/newsroom.py", notice="", most=ROWS))

    painter = threading.Thread(target=draw)
    painter.start()
    asyncio.run(newsroom.main())
    over.set()
    painter.join()

    svg = paper.export_svg(title=COMMAND, theme=THEME)
    # No font is fetched: the reader's own monospaced one will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    target = ROOT / "docs" / "images" / "live-view.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text(svg, encoding="utf-8")
    print(f"drawn: {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
