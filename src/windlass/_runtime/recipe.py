"""What a function and its options amount to: worked out once, used by every call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core.spec import Spec
from .signature import CallShape

if TYPE_CHECKING:
    from collections.abc import Sequence


class ForCall(NamedTuple):
    """Options that are for one call only."""

    after: Sequence[Any] = ()
    key: str | None = None
    delay: float | None = None
    at: float | None = None
    """In wall-clock seconds since the epoch."""


@dataclass(slots=True, eq=False, repr=False)
class Recipe:
    """A function, what is asked of the tasks that run it, and what calls it takes."""

    function: Callable[..., Any]
    portable: Any
    """What stands for the function when it is pickled: it, or the ``@task`` around it."""
    spec: Spec
    shape: CallShape
    call: ForCall | None = None
    vetted_by: Any = None
    """The runtime that has found the recipe fit for its executors."""
    stored_as: str | None = None
    """The stable id of the function, once a store has asked for it."""
    asks: Mapping[str, Any] | None = None
    """What it asks that its function does not, once a store has asked for that."""
    chunk_of: Recipe | None = None
    """Of a chunk, the recipe of the calls in it."""

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        portable: Any,
        spec: Spec,
        call: ForCall | None = None,
    ) -> Recipe:
        """Work out the recipe of ``function``."""
        return cls(function, portable, spec, CallShape(function, spec.name), call)

    def with_spec(self, **changes: Any) -> Recipe:
        """The same with other options."""
        spec = dataclasses.replace(self.spec, **changes)
        return dataclasses.replace(self, spec=spec, vetted_by=None, asks=None)

    def with_call(self, call: ForCall) -> Recipe:
        """The same with other options for its calls."""
        return dataclasses.replace(self, call=call)
