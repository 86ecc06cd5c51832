"""How long the steps of a compilation take: `step` marks one, `timed` collects them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class _Clock:
    """`since` is when the innermost step of `running` was last entered or returned to."""

    seconds: dict[str, float] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    since: float = 0.0

    def turn(self) -> None:
        """Book the time until now on the innermost step."""
        now = time.perf_counter()
        if self.running:
            name = self.running[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self.since
        self.since = now


_clock: ContextVar[_Clock | None] = ContextVar("clock", default=None)


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Collect the seconds of every step that this block runs, by name.

    A step inside another counts for itself and not for the outer one, so the values add up
    to no more than the block took.  Threads the block starts are not looked into.
    """
    clock = _Clock()
    token = _clock.set(clock)
    try:
        yield clock.seconds
    finally:
        _clock.reset(token)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Book what this block takes on `name`, if anyone is collecting."""
    clock = _clock.get()
    if clock is None:
        yield
        return
    clock.turn()
    clock.running.append(name)
    try:
        yield
    finally:
        clock.turn()
        clock.running.pop()
