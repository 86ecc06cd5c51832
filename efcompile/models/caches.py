"""Tensors that some models keep because they are made from the weights alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Give every module in ``model`` its training mode back at the end."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def drop_caches(model: nn.Module) -> None:
    """Make ``model`` forget what it cached from weights that have since been overwritten.

    Models that cache (attention biases, as a rule) do so for evaluation, and start anew when
    the training mode changes: it is changed there and back.
    """
    with modes_kept(model):
        model.train()
        model.eval()
