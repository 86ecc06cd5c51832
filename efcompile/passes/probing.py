"""Running a graph on its probes, all at once: a probe per thread."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule

from efcompile.passes.verification import Outputs, run_graph


@dataclass(frozen=True)
class Probes:
    """`inputs` are the probes: each the graph's inputs, in order."""

    inputs: tuple[Sequence[Tensor], ...]
    pool: ThreadPoolExecutor

    def run(self, graph_module: GraphModule) -> list[Outputs]:
        """The graph's flat outputs on every probe; raises what the first that fails raises."""
        return list(self.pool.map(lambda inputs: run_graph(graph_module, inputs), self.inputs))


@contextmanager
def probing(inputs: Sequence[Sequence[Tensor]]) -> Iterator[Probes]:
    """`Probes` over `inputs`.

    Each runs on one thread of torch's: small operators gain little from more, and on a busy
    machine torch's threads wait for one another at every operator, which costs many times
    what the work does.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(max(1, len(inputs)), initializer=torch.set_num_threads, initargs=(1,))
    try:
        with pool:
            yield Probes(tuple(inputs), pool)
    finally:
        # The number is a thread's own, but threads that start later take the last one set.
        torch.set_num_threads(threads)


def probes_of(example_inputs: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """The example, and random inputs of the same shapes."""
    generator = torch.Generator().manual_seed(1)
    fresh = [torch.randn(x.shape, generator=generator).to(x.dtype) for x in example_inputs]
    return [example_inputs, fresh]
