"""The classes by which the survey's figure breaks down a vision transformer's latency.

Every call of a kernel is of one class, told from its op and from the modules it came from:

- **patch embed**: everything of the model's first child module, the one that reads the image
  (``stem``, ``patch_embed``): its convolutions with their norms and activations, and whatever
  else a kernel that begins there has taken in.
- **attention**: logits, softmax and the weighted sum of the values, with what is done to the
  logits in between (scale, bias, mixing of heads).  The projections before and after are
  linear/conv: the text does not say where its figure has them, and EfficientFormer L1's 0.07 ms
  of attention beside 0.9 ms of linear leave room for no other reading.
- **linear/conv**: convolutions and products with weights; a fused kernel that has any (an MLP, a
  norm with the linear behind it, global pooling with the head) is one of them.
- **reshape**: data that moves without being computed with: permutes, slices, concatenations.  In
  a graph as captured these include the changes of layout around every op.
- **norm**: layer and group norms, and batch norms that are ops of their own.
- **activation**: activations that are ops of their own.
- **other**: pooling and pool mixers, residual additions, layer scales, resizing, and whatever
  else there is.
"""

from collections.abc import Sequence
from typing import Final

from efcompile.bundle.manifest import CallEntry
from efcompile.report.document import SurveyClass

CLASSES: Final[tuple[SurveyClass, ...]] = (
    "patch embed",
    "attention",
    "linear/conv",
    "reshape",
    "norm",
    "activation",
    "other",
)
"""In the figure's order."""

_BY_OP: Final[dict[str, SurveyClass]] = {
    "attention": "attention",
    "matmul": "attention",
    "softmax": "attention",
    "conv2d": "linear/conv",
    "linear": "linear/conv",
    "mlp": "linear/conv",
    "ffn": "linear/conv",
    "separable": "linear/conv",
    "norm_linear": "linear/conv",
    "pool_linear": "linear/conv",
    "permute": "reshape",
    "slice": "reshape",
    "expand": "reshape",
    "concat": "reshape",
    "gather": "reshape",
    "pad": "reshape",
    "affine": "norm",
    "layer_norm": "norm",
    "group_norm": "norm",
    "activation": "activation",
    "binary": "other",
    "scalar": "other",
    "avg_pool2d": "other",
    "max_pool2d": "other",
    "pool_mixer": "other",
    "mean": "other",
    "resize": "other",
    "leftover": "other",
}
ROOT: Final = "(model)"
"""The source of what the model itself does, outside its submodules."""
_LOGITS: Final = ("matmul", "softmax")
"""Ops whose module computes attention step by step."""
_BETWEEN: Final = ("binary", "scalar", "gather")
"""What such a module may do to its logits: scale them, add a bias, look that up in its table."""


def classify(calls: Sequence[CallEntry]) -> tuple[SurveyClass, ...]:
    """The class of each of a network's calls."""
    stem = _first_child(calls)
    step_by_step = {source for call in calls if call.op in _LOGITS for source in call.sources}
    return tuple(_class_of(call, stem, step_by_step) for call in calls)


def _class_of(call: CallEntry, stem: str | None, step_by_step: set[str]) -> SurveyClass:
    if stem is not None and call.sources and _is_within(call.sources[0], stem):
        return "patch embed"
    if call.op in _BETWEEN and call.sources and step_by_step.issuperset(call.sources):
        return "attention"
    return _BY_OP.get(call.op, "other")


def _first_child(calls: Sequence[CallEntry]) -> str | None:
    """The module below the one that holds all calls which the first call is of; None where that
    would be the whole network, or the first call is of no module below."""
    paths = [source.split(".") for call in calls for source in call.sources if source != ROOT]
    if not paths or not calls[0].sources or calls[0].sources[0] == ROOT:
        return None
    depth = 0
    while all(len(path) > depth + 1 and path[depth] == paths[0][depth] for path in paths):
        depth += 1
    child = ".".join(calls[0].sources[0].split(".")[: depth + 1])
    everything = all(_is_within(".".join(path), child) for path in paths)
    return None if everything else child


def _is_within(source: str, module: str) -> bool:
    return source == module or source.startswith(f"{module}.")
