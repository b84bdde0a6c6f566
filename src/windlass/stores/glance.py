"""The connections of somebody who only looks at a SQLite file, and leaves no trace of it.

A file that nobody has open is complete in itself, and is read without locks and without the files
that SQLite would leave beside it. Where there are such files, somebody has it open or was killed
with it: then what is in the log counts, and SQLite finds it there.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..errors import StoreError
from .mishaps import explaining
from .schema import is_current

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

_PATIENCE = 5.0


class Glance:
    """See the module; in place of ``Connections``."""

    def __init__(self, path: str) -> None:
        self.path = path

    def open(self) -> None:
        """See that there is something to look at."""
        if not Path(self.path).is_file():
            raise StoreError(f"there is no file {self.path}")
        with self.reading() as connection:
            if not is_current(connection, self.path):
                raise StoreError(
                    f"{self.path} holds no tasks of this version of Windlass: if it should, open "
                    "it once with the program that runs them, which brings it up to date"
                )

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection to read with, the caller's alone."""
        beside = (Path(f"{self.path}-{name}") for name in ("wal", "shm"))
        how = "mode=ro" if any(path.exists() for path in beside) else "immutable=1"
        with explaining(self.path):
            connection = sqlite3.connect(
                f"{Path(self.path).as_uri()}?{how}",
                timeout=_PATIENCE,
                isolation_level=None,
                uri=True,
            )
            try:
                yield connection
            finally:
                connection.close()

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Refused."""
        self._refuse()

    def maintaining(self) -> AbstractContextManager[sqlite3.Connection]:
        """Refused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreError(f"{self.path} was opened to be looked at, not to be written")
