"""A probe per thread, with the results and the errors of running them one by one."""

import pytest
import torch
from torch import Tensor, nn

from efcompile.passes.probing import probes_of, probing
from efcompile.passes.verification import run_graph
from tests.passes.dialect import captured, image


def _probes() -> list[list[Tensor]]:
    return [[image(1, 3, 9, 7, seed=seed)] for seed in range(3)]


def test_outputs_are_those_of_one_run_after_the_other() -> None:
    probes = _probes()
    graph_module = captured(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), probes[0][0])
    with probing(probes) as prepared:
        outputs = prepared.run(graph_module)
        again = prepared.run(graph_module)
    for inputs, *got in zip(probes, outputs, again, strict=True):
        wanted = run_graph(graph_module, inputs)[0]
        assert all(torch.allclose(y[0], wanted, atol=1e-6) for y in got)


def test_an_error_reaches_the_caller_and_torchs_threads_are_as_before() -> None:
    before = torch.get_num_threads()
    probes = _probes()
    graph_module = captured(nn.Conv2d(3, 4, 3), probes[0][0])
    probes[1] = [image(1, 5, 9, 7)]
    torch.set_num_threads(3)
    try:
        with pytest.raises(RuntimeError, match="channels"), probing(probes) as prepared:
            prepared.run(graph_module)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_probes_are_the_example_and_another_of_its_shape() -> None:
    example = (image(2, 3, 5, 5), torch.ones(4))
    first, second = probes_of(example)
    assert first is example
    assert [x.shape for x in second] == [x.shape for x in example]
    assert not torch.equal(first[0], second[0])
