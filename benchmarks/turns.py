"""Timing contestants that keep threads of their own, in turns.

Every round gives each contestant its turn, so drift of a shared machine hits all alike, and
starts with another one.  A turn is an untimed call, which brings the contestant's weights back
into the caches, then a timed one: what a program sees that runs one model all the time.  With
several threads a pause goes before each turn: the threads of the last contestant spin for a
while after their work, waiting for more, and would take cores from the next one.  After it the
untimed calls are three, until threads are awake again and cores at speed.  Nobody is told to
stop spinning, which would slow those who live by it.
"""

import statistics
import time
from collections.abc import Callable, Mapping

PAUSE_SECONDS = 0.05
"""Longer than any of the contestants spins (ncnn's OpenMP, the most patient, 20 ms)."""

UNTIMED, UNTIMED_AFTER_PAUSE = 1, 3
MIN_ROUNDS = 5
_WARMUP = 2


def take_turns(
    contestants: Mapping[str, Callable[[], object]], rounds: int, seconds: float, pause: float
) -> dict[str, list[int]]:
    """Nanoseconds of each contestant's timed calls, one per round, in the order of the rounds.

    Stops after `rounds` rounds, or earlier, after a round that ends later than `seconds` after
    the start, but not before `MIN_ROUNDS`.  `pause` is in seconds.
    """
    order = list(contestants.items())
    samples: dict[str, list[int]] = {name: [] for name in contestants}
    untimed = UNTIMED_AFTER_PAUSE if pause else UNTIMED
    start = time.perf_counter()
    for round_ in range(-_WARMUP, rounds):
        if round_ >= MIN_ROUNDS and time.perf_counter() - start > seconds:
            break
        first = round_ % len(order)
        for name, call in order[first:] + order[:first]:
            time.sleep(pause)
            for _ in range(untimed):
                call()
            begin = time.perf_counter_ns()
            call()
            elapsed = time.perf_counter_ns() - begin
            if round_ >= 0:
                samples[name].append(elapsed)
    return samples


def pause_for(threads: int) -> float:
    """Seconds to pause before a turn: none where nobody has threads to spin."""
    return PAUSE_SECONDS if threads > 1 else 0.0


def ratio(mine: list[int], theirs: list[int]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
