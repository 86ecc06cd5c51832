"""Asking for the lines of a large result before they are stored to.

A store to a line that is in no cache near holds up those behind it, as hardware looks ahead of
loads rather than stores.  What does little beside writing waits for that: with a batch of 8, where
the result has 6 MB, a resize takes 29 % less when it asks two columns ahead.  Where a result stays
in L2 it takes 2 % more.
"""

from efcompile.targets.target import Target


def outgrows(floats: int, target: Target) -> bool:
    """Whether a result of so many floats is large enough (measured on x86 only)."""
    return target.arch == "x86_64" and 4 * floats > 2 * target.l2_bytes
