"""Timing beside eager PyTorch."""

import torch

import efcompile
from efcompile.cli.results import ROUNDS, beside_eager
from efcompile.cli.source import prepare


def test_both_are_timed_on_as_many_threads() -> None:
    source = prepare("tests.small:small")
    compiled = efcompile.optimize(source.module, source.inputs, threads=1)
    before = torch.get_num_threads()
    seen: list[int] = []
    source.module.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    times = beside_eager(compiled, source)
    assert set(seen) == {1} and len(seen) >= ROUNDS
    assert torch.get_num_threads() == before
    assert times.ours > 0 and times.eager > 0 and times.ratio > 0
    assert times.ours_quartiles[0] <= times.ours <= times.ours_quartiles[1]
    assert (times.threads, times.rounds) == (1, ROUNDS)
