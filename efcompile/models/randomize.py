"""Random weights under which a model is a fair test: nothing folds away, nothing saturates.

Freshly initialised models hide mistakes: batch norms are the identity, layer scales are 1e-5,
biases are zero. Here each of them matters, and activations stay of order one.
"""

import math
import re
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from efcompile.models.caches import drop_caches, modes_kept
from efcompile.models.input_size import default_input_size

M = TypeVar("M", bound=nn.Module)

# Path components under which models keep their layer scales.
_LAYER_SCALE = re.compile(r"(^|\.)(ls\d*|gamma(_\w+)?|layer_?scale\w*)(\.|$)")
_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
_CALIBRATION_BATCH = 4


@torch.no_grad()
def randomize(model: M, seed: int = 0, example_inputs: tuple[Tensor, ...] | None = None) -> M:
    """Give ``model`` random weights in place, and return it.

    - convolutions and linears: weight normal with variance one over fan-in, bias normal 0.1;
    - norms: weight uniform in 0.5..1.5, bias normal 0.2;
    - layer scales: uniform in 0.8..1.2;
    - other parameters (bias tables, position embeddings, tokens, ...): if they start constant,
      that constant plus normal 0.3; else like a weight;
    - batch norm statistics: mean normal 0.5 and variance uniform in 0.5..2, for inputs of mean
      zero and variance one, then shifted and scaled to what arrives at the layer. That is
      measured on ``example_inputs``, or on random images if the model says its input size.

    For a freshly built model the result depends on the architecture, ``seed`` and the inputs
    only, not on torch's global generator. Training modes are left as found.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn: set[Tensor] = set()
    for path, owner in model.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter not in drawn and parameter.is_floating_point():
                _draw_parameter(f"{path}.{name}", owner, parameter, generator)
                drawn.add(parameter)
        if isinstance(owner, _BatchNorm):
            _draw_statistics(owner, torch.zeros(()), torch.ones(()), generator)
    if example_inputs is None and (size := default_input_size(model)) is not None:
        example_inputs = (torch.randn(_CALIBRATION_BATCH, *size, generator=generator),)
    drop_caches(model)
    if example_inputs is not None:
        _calibrate_statistics(model, example_inputs, generator)
    return model


def _draw_parameter(path: str, owner: nn.Module, parameter: Tensor, generator: Generator) -> None:
    name = path.rpartition(".")[2]
    if _LAYER_SCALE.search(path) and max(parameter.shape, default=1) == parameter.numel():
        parameter.uniform_(0.8, 1.2, generator=generator)
    elif isinstance(owner, _NORMS) and name == "weight":
        parameter.uniform_(0.5, 1.5, generator=generator)
    elif name == "bias":
        parameter.normal_(0, 0.2 if isinstance(owner, _NORMS) else 0.1, generator=generator)
    elif isinstance(owner, _ConvNd):
        fan_in = parameter.numel() // owner.out_channels
        parameter.normal_(0, 1 / math.sqrt(fan_in), generator=generator)
    elif bool((parameter == parameter.flatten()[:1]).all()):
        parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    else:
        fan_in = parameter.shape[-1] if parameter.ndim > 1 else 1
        parameter.normal_(0, 1 / math.sqrt(fan_in), generator=generator)


def _draw_statistics(norm: _BatchNorm, mean: Tensor, var: Tensor, generator: Generator) -> None:
    """Set running statistics to ``mean`` and ``var`` (scalars or ``[C]``), visibly disturbed."""
    if norm.running_mean is None or norm.running_var is None:
        return  # the layer normalises by its batch and keeps no statistics
    norm.running_mean.normal_(0, 0.5, generator=generator).mul_(var.sqrt()).add_(mean)
    norm.running_var.uniform_(0.5, 2.0, generator=generator).mul_(var)


def _calibrate_statistics(
    model: nn.Module, example_inputs: tuple[Tensor, ...], generator: Generator
) -> None:
    """Run the model once; every batch norm takes its statistics just before it runs."""

    def measure(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(norm, _BatchNorm)
        x: Tensor = inputs[0]
        around = [axis for axis in range(x.ndim) if axis != 1]
        mean, var = x.mean(around), x.var(around, correction=0)
        # Half from the whole layer: dividing by the little that varies around a large mean,
        # layer after layer, would make a deep random model chaotic.
        var = (var + x.square().mean()) / 2
        _draw_statistics(norm, mean, var.clamp_min(1e-6), generator)

    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    try:
        with modes_kept(model):
            model.eval()
            model(*example_inputs)
    finally:
        for hook in hooks:
            hook.remove()
