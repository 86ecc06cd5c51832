"""swap-patch-embed: a k x k stride-k convolution as a matrix product, or as a stem.

Before::

    x [N, C, H, W] -> conv2d (W [O, C, k, k], b; stride k) -> [N, O, H/k, W/k]

After (exact)::

    x -> reshape, permute, reshape [N, H/k W/k, C k k] -> linear (W', b) -> permute, reshape

After (approximate)::

    x -> conv2d 3x3 stride 2 -> batch_norm -> relu -> ... -> conv2d 3x3 stride 2 -> batch_norm

The exact form is space to depth and one product: ``W' = W`` with rows of C k k numbers, in the
order (C, k, k) where x is the model's own input (its rows are contiguous there) and (k, k, C)
elsewhere (channels are, in the dialect).  The approximate form has log2(k) convolutions fitted
to the original's output on the user's calibration images; it reports the relative error before
and after the fit and how often the model still answers the same, and needs fine-tuning.

Preconditions: constant weights, kernel equal to stride, no padding, dilation or groups, an image
of whole patches.  Approximate: also square, k a power of two, and x the model's only input.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from efcompile.errors import InputError
from efcompile.passes.base import Exactness, Match, Pass, add_constant
from efcompile.passes.patch_stem import fit_stem
from efcompile.passes.projection import CONV2D, LINEAR, Projection, projection, substitute
from efcompile.passes.rewriting import emit, shape

aten = torch.ops.aten
RESHAPE, PERMUTE = aten.reshape.default, aten.permute.default


@dataclass(frozen=True)
class SwapPatchEmbed(Pass):
    """See the module's docstring.

    `calibration` [M, C, H, W] are images as the model gets them, `steps` of Adam fit the stem
    (0: swap without a fit), `seed` draws its first weights.  All three are for the approximate
    form only.
    """

    name: ClassVar[str] = "swap-patch-embed"
    summary: ClassVar[str] = "patch embedding into one matrix product (or, on request, a 3x3 stem)"
    form: Literal["exact", "approximate"] = "exact"
    calibration: Tensor | None = field(default=None, compare=False, repr=False)
    steps: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in ("exact", "approximate"):
            raise InputError(f"form is {self.form!r}: it can be 'exact' or 'approximate'")
        if self.form == "approximate" and self.calibration is None:
            raise InputError("the approximate swap-patch-embed needs calibration images to fit to")
        if self.form == "exact" and self.calibration is not None:
            raise InputError("the exact swap-patch-embed fits nothing: it takes no calibration")
        if self.steps < 0:
            raise InputError(f"steps is {self.steps}: it cannot be negative")

    @property
    def exactness(self) -> Exactness:  # type: ignore[override]
        """As the form is."""
        return self.form

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Convolutions whose kernel is their stride, and strided ones that read the input."""
        for node in graph_module.graph.nodes:
            if node.target is not CONV2D:
                continue
            kernel, stride = shape(node.args[1])[2:], tuple(node.args[3])
            reads_input = node.args[0].op == "placeholder"
            if max(stride) > 1 and (kernel == stride or reads_input):
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Whether the patches tile the image."""
        conv = match.anchor
        kernel, stride = shape(conv.args[1])[2:], tuple(conv.args[3])  # type: ignore
        found = projection(graph_module, conv)
        if found is None:
            return "its weights are not constant"
        if kernel != stride:
            return f"kernel {_by(kernel)}, stride {_by(stride)}: it is no cut into patches"
        if any(conv.args[4]):  # type: ignore[arg-type]
            return "it is padded"
        if found.groups > 1:
            return "it is grouped: there is no one matrix for a patch"
        if any(d != 1 for d in conv.args[5]):  # type: ignore[union-attr]
            return "it is dilated"
        size = shape(found.input)[2:]
        if any(s % k for s, k in zip(size, kernel, strict=True)):
            return f"an image of {_by(size)} is no whole number of {_by(kernel)} patches"
        return self._why_no_stem(graph_module, conv) if self.form == "approximate" else None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Swap in the requested form."""
        found = projection(graph_module, match.anchor)
        assert found is not None
        if self.form == "exact":
            return _as_product(graph_module, found)
        return self._as_stem(graph_module, found)

    def _why_no_stem(self, graph_module: GraphModule, conv: Node) -> str | None:
        kernel = shape(conv.args[1])[2:]  # type: ignore[arg-type]
        if kernel[0] != kernel[1] or kernel[0] & (kernel[0] - 1):
            return f"{_by(kernel)} patches are no power of two: 3x3 stride-2 convolutions halve"
        inputs = [n for n in graph_module.graph.nodes if n.op == "placeholder"]
        if inputs != [conv.args[0]]:
            return "it does not read the model's only input, which calibration images are for"
        return None

    def _as_stem(self, graph_module: GraphModule, old: Projection) -> str:
        images = self._images(shape(old.input))
        batch = shape(old.input)[0]
        before = _scores(graph_module, images, batch)
        stride: list[int] = list(old.node.args[3])  # type: ignore[arg-type]
        with torch.no_grad():
            embedded = torch.nn.functional.conv2d(images, old.weight, old.bias, stride)
        layers = stride[0].bit_length() - 1
        fit = fit_stem(images, embedded, layers, self.steps, self.seed)
        name = old.node.name
        substitute(old.node, _emit_stem(graph_module, old, fit.stem))
        graph_module.recompile()
        after = _scores(graph_module, images, batch)
        same = float((before.argmax(-1) == after.argmax(-1)).float().mean())
        return (
            f"{name} ({_by(stride)} patches) into {layers} convolutions 3x3 stride 2: relative "
            f"error {fit.error_before:.3f} before the fit, {fit.error_after:.3f} after; top-1 "
            f"agreement {same:.1%} on {len(images)} calibration images; fine-tune before use"
        )

    def _images(self, wanted: tuple[int, ...]) -> Tensor:
        images = self.calibration
        assert images is not None
        if images.ndim != 4 or tuple(images.shape[1:]) != wanted[1:] or not len(images):
            raise InputError(
                f"calibration images are {list(images.shape)}: the model takes "
                f"[any, {', '.join(map(str, wanted[1:]))}]"
            )
        return images.detach().float()


def _as_product(graph_module: GraphModule, old: Projection) -> str:
    """Space to depth, a linear, and back to an image."""
    x, conv = old.input, old.node
    batch, channels, height, width = shape(x)
    rows, _, kh, kw = old.weight.shape
    down, across = height // kh, width // kw
    if x.op == "placeholder":
        order, weight = [0, 2, 4, 1, 3, 5], old.weight
    else:
        order, weight = [0, 2, 4, 3, 5, 1], old.weight.permute(0, 2, 3, 1)
    matrix = add_constant(graph_module, str(conv.args[1].target), weight.reshape(rows, -1))  # type: ignore[union-attr]

    def step(target: object, value: Node, *args: object) -> Node:
        return emit(graph_module, conv, target, value, *args, origins=(conv,))

    y = step(RESHAPE, x, [batch, channels, down, kh, across, kw])
    y = step(PERMUTE, y, order)
    y = step(RESHAPE, y, [batch, down * across, channels * kh * kw])
    y = step(LINEAR, y, matrix, conv.args[2])
    y = step(PERMUTE, y, [0, 2, 1])
    substitute(conv, step(RESHAPE, y, [batch, rows, down, across]))
    return (
        f"{conv.name} ({_by((kh, kw))} patches) into one product of {channels * kh * kw} by {rows}"
    )


def _emit_stem(graph_module: GraphModule, old: Projection, stem: nn.Sequential) -> Node:
    """The stem's layers as nodes in front of the old convolution."""
    y, origin = old.input, old.node

    def constant(layer: int, what: str, value: Tensor | None) -> Node:
        assert value is not None
        return add_constant(graph_module, f"stem_{layer}_{what}", value)

    for place, module in enumerate(stem):
        if isinstance(module, nn.Conv2d):
            weight = constant(place, "weight", module.weight)
            args = (weight, None, [2, 2], [1, 1], [1, 1], 1)
            y = emit(graph_module, origin, CONV2D, y, *args, origins=(origin,))
        elif isinstance(module, nn.BatchNorm2d):
            values = {"weight": module.weight, "bias": module.bias}
            values |= {"mean": module.running_mean, "var": module.running_var}  # type: ignore[dict-item]
            constants = [constant(place, what, value) for what, value in values.items()]
            rest = (False, 0.1, module.eps, False)
            norm = aten.batch_norm.default
            y = emit(graph_module, origin, norm, y, *constants, *rest, origins=(origin,))
        else:
            y = emit(graph_module, origin, aten.relu.default, y, origins=(origin,))
    return y


def _scores(graph_module: GraphModule, images: Tensor, batch: int) -> Tensor:
    """The model's first output for every image; the graph takes `batch` of them at a time."""
    missing = -len(images) % batch
    filled = torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])
    with torch.no_grad():
        parts = [graph_module(part)[0] for part in torch.split(filled, batch)]
    return torch.cat(parts)[: len(images)]


def _by(size: tuple[int, ...] | list[int] | torch.Size) -> str:
    return "x".join(str(s) for s in size)
