"""Timing several things fairly: in turns, so that drift of the machine hits all alike."""

import time
from collections.abc import Callable, Mapping


def interleave(
    contestants: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2
) -> dict[str, list[int]]:
    """Nanoseconds of each contestant's calls, one per round, in the order of the rounds.

    A round calls every contestant once, each round starting with another one (whoever runs
    after a given contestant inherits its caches); `warmup` rounds before the first are not
    timed.
    """
    order = list(contestants.items())
    samples: dict[str, list[int]] = {name: [] for name in contestants}
    for round_ in range(-warmup, rounds):
        first = round_ % len(order)
        for name, call in order[first:] + order[:first]:
            start = time.perf_counter_ns()
            call()
            elapsed = time.perf_counter_ns() - start
            if round_ >= 0:
                samples[name].append(elapsed)
    return samples
