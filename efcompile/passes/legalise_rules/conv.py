"""Convolutions and linears. Weights become constants in the layout the kernels read."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx import Node

from efcompile.passes.legalise_rules.rule import Rule, Site, pair
from efcompile.passes.rewriting import shape

aten = torch.ops.aten


def _constant_weights(site: Site) -> str | None:
    for name in ("weight", "bias"):
        if site.args[name] is not None and site.value(site.args[name]) is None:
            return f"its {name} is computed while running"
    return None


def _refuse_conv(rank: int) -> Callable[[Site], str | None]:
    def refuse(site: Site) -> str | None:
        if len(shape(site.x)) != rank:
            return f"its input has {len(shape(site.x))} dimensions, not {rank}"
        if site.args.get("transposed", False):
            return "a transposed convolution has no channels-last op"
        return _constant_weights(site)

    return refuse


def _refuse_conv_padding(site: Site) -> str | None:
    if site.args["padding"] == "same":
        kernel, dilation = shape(site.args["weight"])[2:], pair(site.args["dilation"])
        if any(d * (k - 1) % 2 for k, d in zip(kernel, dilation, strict=True)):
            return 'padding="same" is uneven here'
    return _refuse_conv(4)(site)


def _conv(
    site: Site,
    x: Node,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> Node:
    """conv2d of channels-last `x` with `weight` [O, I / groups, kh, kw]."""
    laid = site.constant(f"{site.args['weight'].target}_nhwc", weight.permute(0, 2, 3, 1))
    bias, groups = site.args["bias"], site.args["groups"]
    return site.emit("conv2d", x, laid, bias, None, stride, padding, dilation, groups)


def _conv2d(site: Site) -> Node:
    args, weight = site.args, site.value(site.args["weight"])
    assert weight is not None
    dilation, padding = pair(args["dilation"]), args["padding"]
    if isinstance(padding, str):
        same = [d * (k - 1) // 2 for k, d in zip(weight.shape[2:], dilation, strict=True)]
        padding = same if padding == "same" else [0, 0]
    x = site.channels_last(site.x)
    return site.channels_first(
        _conv(site, x, weight, pair(args["stride"]), pair(padding), dilation)
    )


def _conv1d(site: Site) -> Node:
    """[N, C, L] as an image of height 1."""
    args, weight = site.args, site.value(site.args["weight"])
    assert weight is not None
    n, c, length = shape(site.x)
    x = site.reshape(site.channels_last(site.x), (n, 1, length, c))
    along = {name: args[name][0] for name in ("stride", "padding", "dilation")}
    y = _conv(
        site, x, weight[:, :, None], [1, along["stride"]], [0, along["padding"]],
        [1, along["dilation"]],
    )  # fmt: skip
    n, _, length, c = shape(y)
    return site.channels_first(site.reshape(y, (n, length, c)))


def _linear(site: Site) -> Node:
    return site.emit("linear", site.x, site.args["weight"], site.args["bias"])


def _refuse_addmm(site: Site) -> str | None:
    if site.args["alpha"] != 1 or site.args["beta"] != 1:
        return "alpha or beta is not 1"
    if site.value(site.args["self"]) is None or site.value(site.args["mat2"]) is None:
        return "its weight or bias is computed while running"
    return None if len(shape(site.args["self"])) == 1 else "its bias is no vector"


def _addmm(site: Site) -> Node:
    weight = site.value(site.args["mat2"])
    assert weight is not None
    laid = site.constant(f"{site.args['mat2'].target}_t", weight.T)
    return site.emit("linear", site.args["mat1"], laid, site.args["self"])


RULES: dict[object, Rule] = {
    aten.conv2d.default: Rule(_conv2d, _refuse_conv(4)),
    aten.conv2d.padding: Rule(_conv2d, _refuse_conv_padding),
    aten.conv1d.default: Rule(_conv1d, _refuse_conv(3)),
    aten.linear.default: Rule(_linear, _constant_weights),
    aten.addmm.default: Rule(_addmm, _refuse_addmm),
}
