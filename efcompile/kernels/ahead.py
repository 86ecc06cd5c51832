"""Asking for constants before they are wanted, where products do not do it for themselves.

A product asks for the weights of its next panel (`tile.Prefetch`), but nobody for those of its
first one, nor for taps and biases: in a network they come from L3 or memory, and the core waits.
"""

from efcompile.kernels.emit import Emitter, Expr, View

LINE = 16
"""Floats of a cache line."""


def ask(e: Emitter, view: View | None, first: Expr, floats: int) -> None:
    """Ask for the cache lines of so many floats of `view` from `first`, if there is one."""
    if view is None:
        return
    lines = -(-floats // LINE)
    start = view.at(first)
    if lines <= 4:
        for line in range(lines):
            e.prefetch(start, line * LINE)
        return
    with e.loop(lines, "line") as line:
        e.prefetch(start, line * LINE)


def ask_share(
    e: Emitter, weights: View, start: Expr, panel: int, width: int, part: Expr, parts: int
) -> None:
    """Ask for part `part` of `parts` of those of the weights' first panel, [k, width], that meet
    channels ``start .. start + panel``: who makes all of them in turn has asked for the whole."""
    floats = -(-panel * width // (parts * LINE)) * LINE
    ask(e, weights, e.let(start * width + part * floats), floats)
