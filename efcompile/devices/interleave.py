"""Timing several things fairly: in turns, so that drift of the machine hits all alike."""

import time
from collections.abc import Callable, Mapping


def interleave(
    contestants: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2
) -> dict[str, list[int]]:
    """Nanoseconds of each contestant's calls, one per round, in the order of the rounds.

    A round calls every contestant once; `warmup` rounds before the first are not timed.
    """
    samples: dict[str, list[int]] = {name: [] for name in contestants}
    for round_ in range(-warmup, rounds):
        for name, call in contestants.items():
            start = time.perf_counter_ns()
            call()
            elapsed = time.perf_counter_ns() - start
            if round_ >= 0:
                samples[name].append(elapsed)
    return samples
