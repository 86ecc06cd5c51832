"""Timing several things fairly: in turns, so that drift of the machine hits all alike."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial


def interleave(
    contestants: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2
) -> dict[str, list[int]]:
    """Nanoseconds of each contestant's calls, one per round; see `take_turns`."""
    turns = {name: partial(clocked, call) for name, call in contestants.items()}
    return take_turns(turns, rounds, warmup=warmup)


def clocked(call: Callable[[], object]) -> int:
    """How many nanoseconds `call` takes."""
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start


def take_turns(
    turns: Mapping[str, Callable[[], int]],
    rounds: int,
    *,
    warmup: int = 2,
    seconds: float = math.inf,
    least: int = 1,
    watch: Callable[[int, int], None] = lambda done, expected: None,
) -> dict[str, list[int]]:
    """What each contestant's turns return, one per round, in the order of the rounds.

    A round gives every contestant its turn, each round starting with another one (whoever runs
    after a given contestant inherits its caches); what `warmup` rounds before the first return
    is dropped.  There are `rounds` rounds, or as many as end within `seconds` of the start by
    the pace so far, but at least `least`.  `watch` hears after every round how many are done
    and how many to expect.
    """
    order = list(turns.items())
    samples: dict[str, list[int]] = {name: [] for name in turns}
    start = time.perf_counter()
    pace = 0.0
    for round_ in range(-warmup, rounds):
        if round_ >= max(1, least) and time.perf_counter() - start + pace > seconds:
            break
        first = round_ % len(order)
        for name, turn in order[first:] + order[:first]:
            value = turn()
            if round_ >= 0:
                samples[name].append(value)
        pace = (time.perf_counter() - start) / (round_ + warmup + 1)
        if round_ >= 0:
            fitting = rounds if pace * rounds <= seconds else int(seconds / pace) - warmup
            watch(round_ + 1, min(rounds, max(least, round_ + 1, fitting)))
    return samples
