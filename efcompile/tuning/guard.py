"""Exceptions on their way through MetaSchedule.

What a Python part raises comes out of MetaSchedule as a ``RuntimeError`` with the text alone, from
within a search behind ``parallel_for_dynamic error with``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from efcompile import tvm_api


@dataclass
class Guard:
    """Keeps the first exception that a part made by `part` raised."""

    error: BaseException | None = None

    def part(self, base: str, implementation: Any) -> Any:
        """As `tvm_api.meta_schedule_part`, with this guard around the methods."""
        return tvm_api.meta_schedule_part(base, _Guarded(implementation, self))

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, guarded.  After a first exception of any part, every call raises at once."""

        def guarded(*args: Any) -> Any:
            if self.error is not None:
                raise RuntimeError("a part of the search failed before")
            try:
                return call(*args)
            except BaseException as error:
                # Parts call one another through MetaSchedule: the innermost comes first.
                self.error = self.error or error
                # An ordinary exception: TVM cannot carry KeyboardInterrupt.
                raise RuntimeError(str(error)) from error

        return guarded


class _Guarded:
    def __init__(self, implementation: Any, guard: Guard) -> None:
        self._implementation, self._guard = implementation, guard

    def __getattr__(self, name: str) -> Any:
        return self._guard.wrap(getattr(self._implementation, name))
