"""Telling someone how far a long run is."""

from collections.abc import Callable
from typing import Literal

Phase = Literal["passes", "build", "profile", "measure"]

Watch = Callable[[Phase, str, int, int], None]
"""Called with the phase, what was finished just now, and how many of how many are done."""


def silent(phase: Phase, what: str, done: int, total: int) -> None:
    """A `Watch` that does nothing."""
