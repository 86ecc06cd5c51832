from collections.abc import Iterator

import pytest
import torch
from torch._inductor import config

from benchmarks.peers.in_torch import Eager, Inductor
from tests.benchmarks.peers.contest import BATCH_AND_THREADS, assert_right


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@BATCH_AND_THREADS
def test_eager(batch: int, threads: int) -> None:
    assert_right(Eager(), batch, threads)
    assert torch.get_num_threads() == threads


@BATCH_AND_THREADS
def test_compiled_and_frozen(monkeypatch: pytest.MonkeyPatch, batch: int, threads: int) -> None:
    frozen: list[bool] = []
    compile_ = torch.compile

    def watched(*args: object, **kwargs: object) -> object:
        frozen.append(config.freezing)
        return compile_(*args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "compile", watched)
    assert_right(Inductor(), batch, threads)
    assert frozen == [True] and not config.freezing
