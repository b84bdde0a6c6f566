"""The world that lives share: one disk, one clock, and the account of all that happens."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...._core.states import TERMINAL
from ..plans import Broken
from . import timing
from .account import Account
from .clocks import Wall
from .disk import Disk
from .life import Life
from .plans import FUNCTIONS
from .steps import Ask, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...._runtime.durable import Role
    from .plans import Setting, Version

_ROUNDS = 400
LOST_NEWS = 6.0
"""After so many seconds a client has looked for what became of its tasks, whatever it heard."""
_LAST = "the last"
logger = logging.getLogger("windlass")


class World:
    """See the module. Steps act on it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.now = self.epoch = 1_000_000.0
        """The time, and when it was when all began."""
        self.wall = Wall(self)
        self.disk = Disk(in_file=setting.in_file)
        self.account = Account(self)
        self.lives: dict[str, Life] = {}
        # What is said of crashes in here is no news to anybody.
        self._level = logger.level
        logger.setLevel(logging.CRITICAL + 1)

    def close(self) -> None:
        """Leave nothing behind."""
        logger.setLevel(self._level)
        for life in self.lives.values():
            life.die()
        self.disk.close()

    def open(self, name: str, versions: Mapping[str, Version], role: Role = "any") -> Life:
        """One more process opens the store."""
        usual: dict[str, Version] = dict.fromkeys(FUNCTIONS, "usual")
        life = self.lives[name] = Life(self, name, {**usual, **versions}, role)
        return life

    def life(self, name: str) -> Life | None:
        """The process of that name, if it lives."""
        life = self.lives.get(name)
        return life if life is not None and life.alive else None

    def look(self) -> None:
        """What was said in the last step has been told."""

    def told(self) -> Iterator[str]:
        """What has happened in this step, in words."""
        yield from self.account.news

    def check(self) -> None:
        """Hold everything against the laws that are so at any time."""
        self.account.news.clear()
        self.account.check()
        for life in self.lives.values():
            if (
                life.leads
                and life.role != "errand"
                and self.account.epochs[life] == self.account.epoch
            ):
                self._compare(life)

    def _compare(self, life: Life) -> None:
        """Of a leader for whom nothing is left to write, the engine is what is stored."""
        journal, account = life.journal, self.account
        if journal is None or not journal.idle or not life.drained:
            return
        known = life.runtime.engine.tasks
        for row in account.rows.values():
            job = known.get(row.id)
            if job is None:
                if row.status not in TERMINAL:
                    raise Broken(f"{row.id} is {row.status}, and {life.name} does not know it")
            elif (job.status, job.run) != (row.status, row.run) and not (
                job.status not in TERMINAL and row.status == "running" and job.run < row.run
            ):
                raise Broken(f"{job} is stored as {row.status}, run {row.run}")
        timing.judge_rest(account, life)

    # -- the end -------------------------------------------------------------------------------

    def wind_down(self) -> None:
        """Let those who live come to rest, then kill them all, and have one finish the rest."""
        self.disk.mood = "well"
        for life in self.lives.values():
            life.wire.writes_left = None
            if life.role == "errand" and life.alive:
                life.do(life.close)  # it only has the one thing to do
        self._come_to_rest()
        for _ in range(2):
            self.now += LOST_NEWS
            self._come_to_rest()
        self._all_handles_have_ended()
        for life in self.lives.values():
            life.die()
        last = self.open(_LAST, {})
        if not last.alive:
            raise Broken("it cannot be opened any more")
        self._come_to_rest()
        for name in list(self.account.orders):
            Ask(_LAST, name, "release").do(self)
        self._come_to_rest()
        self._all_is_done()

    def _come_to_rest(self) -> None:
        """Let everything go on, every run return, and time pass, until nothing happens any more."""
        for _ in range(_ROUNDS):
            self.account.news.clear()
            for life in [life for life in self.lives.values() if life.alive]:
                for name, _run in list(life.runs):
                    Report(life.name, name, "ok").do(self)
                for what in (life.attend, life.look, life.turn, life.commit, life.turn):
                    if life.alive:
                        life.do(what)
            moved = bool(self.account.news) or any(
                life.journal is not None and not life.journal.idle
                for life in self.lives.values()
                if life.alive
            )
            self.check()
            if not moved and not self._move_on():
                return
        raise Broken("it never comes to rest")

    def _move_on(self) -> bool:
        """To the next moment at which something is to happen, if there is one."""
        due = [
            deadline - life.clock.now()
            for life in self.lives.values()
            if life.leads
            and (deadline := life.runtime.engine.next_deadline(life.clock.now(), self.wall.time))
            is not None
        ]
        self.now += max(0.015625, min(due, default=0.0))
        return bool(due)

    def _all_handles_have_ended(self) -> None:
        """Whoever waits for a task that has ended has been told."""
        for life in self.lives.values():
            for handle in life.handles if life.alive else ():
                id = self.account.holder(handle.id)
                status = self.account.status(id)
                ended = status in TERMINAL or (status is None and self.account.is_known(id))
                ended = ended and not self.account.is_left(handle.id)
                ended = ended and not self.account.is_to_be_retried(handle.id)
                if ended and not handle.done():
                    raise Broken(f"{life.name} waits for {handle}, which has ended")

    def _all_is_done(self) -> None:
        for id in self.account.orders:
            status = self.account.status(id)
            if status is not None and status not in TERMINAL:
                raise Broken(f"{id} is {status}, and nothing happens any more")
        stored = {row.id: row for row in self.lives[_LAST].wire.finished(None, 10_000)}
        if stored != {row.id: row for row in self.account.rows.values()}:
            raise Broken("what is stored is not what was written")
        if self.account.requests:
            raise Broken(f"requests were never handled: {self.account.requests}")
