"""PyTorch itself: eager, and compiled by inductor."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.peers.peer import Array, Peer, Run

if TYPE_CHECKING:
    from benchmarks.case import Case


class Eager(Peer):
    """The module as it is, in inference mode."""

    name = "eager"
    packages = ("torch",)

    def start(self, case: "Case", threads: int) -> Run:
        """See `Peer.start`."""
        return _inference(case.model, case, threads)


class Inductor(Peer):
    """`torch.compile` for the static shape, weights frozen: folded and packed when compiling."""

    name = "compile"
    packages = ("torch",)

    def start(self, case: "Case", threads: int) -> Run:
        """See `Peer.start`; compiles right away, which takes a minute or two."""
        import torch
        from torch._inductor import config

        # Code for another model or number of threads is no use, and fills the cache of graphs.
        torch._dynamo.reset()
        with config.patch(freezing=True):
            run = _inference(torch.compile(case.model, dynamic=False), case, threads)
            run()
        return run


def _inference(model: Callable[..., Any], case: "Case", threads: int) -> Run:
    import torch
    from torch.utils import _pytree as pytree

    torch.set_num_threads(threads)

    def run() -> list[Array]:
        with torch.inference_mode():
            return [leaf.numpy() for leaf in pytree.tree_leaves(model(case.x))]

    return run
