"""Movement ops: every view is a reshape, every transposition a permute, every part a slice."""

from typing import Any

import torch

from efcompile.capture.builder import Builder, shape_of
from efcompile.capture.spelling import Call, dtype_of, spelled
from efcompile.errors import CaptureError

aten = torch.ops.aten


@spelled(
    "view.default", "reshape.default", "_unsafe_view.default", "_reshape_alias.default",
    "flatten.using_ints", "unflatten.int", "view_as.default", "reshape_as.default",
    "squeeze.default", "squeeze.dim", "squeeze.dims", "unsqueeze.default", "ravel.default",
    "squeeze_copy.default", "unsqueeze_copy.default", "view_copy.default",
)  # fmt: skip
def reshape(b: Builder, call: Call) -> Any:
    """Any change of shape that keeps the order of elements."""
    return b.reshape(call["self"], call.shape)


@spelled("permute.default", "permute_copy.default")
def permute(b: Builder, call: Call) -> Any:
    return b.permute(call["self"], call["dims"])


@spelled("transpose.int", "swapaxes.default", "swapdims.default", "transpose_copy.int")
def transpose(b: Builder, call: Call) -> Any:
    first, second = list(call.named.values())[1:3]
    rank = len(shape_of(call["self"]))
    order = list(range(rank))
    order[first % rank], order[second % rank] = second % rank, first % rank
    return b.permute(call["self"], order)


@spelled("t.default", "numpy_T.default", "mT.default", "mH.default", "adjoint.default")
def transposed(b: Builder, call: Call) -> Any:
    order = list(range(len(shape_of(call["self"]))))
    if "numpy_T" in str(call.target):
        order.reverse()
    else:
        order[-2:] = order[:-3:-1]
    return b.permute(call["self"], order)


@spelled("movedim.int", "movedim.intlist", "moveaxis.int", "moveaxis.intlist")
def movedim(b: Builder, call: Call) -> Any:
    rank = len(shape_of(call["self"]))
    given, wanted = call["source"], call["destination"]
    sources = [d % rank for d in ([given] if isinstance(given, int) else given)]
    places = [d % rank for d in ([wanted] if isinstance(wanted, int) else wanted)]
    rest = [d for d in range(rank) if d not in sources]
    moved = dict(zip(places, sources, strict=True))
    return b.permute(call["self"], [moved[d] if d in moved else rest.pop(0) for d in range(rank)])


@spelled("expand.default", "expand_as.default", "broadcast_to.default", "expand_copy.default")
def expand(b: Builder, call: Call) -> Any:
    x = call["self"]
    return x if shape_of(x) == call.shape else b.emit(aten.expand.default, x, list(call.shape))


@spelled("repeat.default", "tile.default")
def repeat(b: Builder, call: Call) -> Any:
    """A repetition along dimensions of size one is an expansion; others stay concatenations."""
    x, times = call["self"], list(call.named.values())[1]
    shape = (1,) * (len(call.shape) - len(shape_of(x))) + shape_of(x)
    times = [1] * (len(shape) - len(times)) + list(times)
    y = b.reshape(x, shape)
    for dim, count in enumerate(times):
        if count > 1 and shape[dim] > 1:
            y = b.emit(aten.cat.default, [y] * count, dim)
    return y if shape_of(y) == call.shape else b.emit(aten.expand.default, y, list(call.shape))


@spelled("slice.Tensor", "slice_copy.Tensor")
def slice_(b: Builder, call: Call) -> Any:
    return b.cut(call["self"], call["dim"], call["start"], call["end"], call["step"])


@spelled("narrow.default")
def narrow(b: Builder, call: Call) -> Any:
    return b.cut(call["self"], call["dim"], call["start"], call["start"] + call["length"])


@spelled("select.int", "select_copy.int")
def select(b: Builder, call: Call) -> Any:
    return b.pick(call["self"], call["dim"], call["index"])


@spelled(
    "split.Tensor", "split.sizes", "split_with_sizes.default", "chunk.default",
    "tensor_split.sections", "tensor_split.indices", "unsafe_split.Tensor",
    "unsafe_chunk.default", "unsafe_split_with_sizes.default", "split_with_sizes_copy.default",
)  # fmt: skip
def split(b: Builder, call: Call) -> Any:
    dim = call["dim"] % len(shape_of(call["self"]))
    parts, start = [], 0
    for part in call.result:
        parts.append(b.cut(call["self"], dim, start, start + part.shape[dim]))
        start += part.shape[dim]
    return parts


@spelled("unbind.int", "unbind_copy.int")
def unbind(b: Builder, call: Call) -> Any:
    return [b.pick(call["self"], call["dim"], i) for i in range(len(call.result))]


@spelled("cat.default", "concat.default", "concatenate.default")
def concatenate(b: Builder, call: Call) -> Any:
    # Torch lets empty one-dimensional tensors take part in any concatenation.
    parts = [x for x in call["tensors"] if shape_of(x) != (0,)]
    if len(parts) == 1:
        return parts[0]
    return b.emit(aten.cat.default, parts, call["dim"] % len(call.shape))


@spelled("stack.default")
def stack(b: Builder, call: Call) -> Any:
    dim = call["dim"] % len(call.shape)
    one = (*call.shape[:dim], 1, *call.shape[dim + 1 :])
    parts = [b.reshape(x, one) for x in call["tensors"]]
    return parts[0] if len(parts) == 1 else b.emit(aten.cat.default, parts, dim)


@spelled("index_select.default")
def index_select(b: Builder, call: Call) -> Any:
    """Taking by a vector of indices is indexing of one dimension."""
    dim = call["dim"] % len(shape_of(call["self"]))
    return b.emit(aten.index.Tensor, call["self"], [None] * dim + [call["index"]])


@spelled("embedding.default")
def embedding(b: Builder, call: Call) -> Any:
    return b.emit(aten.index.Tensor, call["weight"], [call["indices"]])


@spelled("pad.default")
def pad(b: Builder, call: Call) -> Any:
    """Constant padding; the other modes keep their own operators."""
    if not any(call["pad"]):
        return call["self"]
    if call["mode"] != "constant":
        return b.emit(call.target, *call.args, **call.kwargs)
    value = call["value"] or 0.0
    return b.emit(aten.constant_pad_nd.default, call["self"], list(call["pad"]), value)


@spelled("constant_pad_nd.default")
def constant_pad(b: Builder, call: Call) -> Any:
    if not any(call["pad"]):
        return call["self"]
    return b.emit(aten.constant_pad_nd.default, call["self"], list(call["pad"]), call["value"])


@spelled("pixel_shuffle.default", "pixel_unshuffle.default")
def pixel_shuffle(b: Builder, call: Call) -> Any:
    """Depth to space, or back: [..., C r r, H, W] <-> [..., C, H r, W r]."""
    x = call["self"]
    *lead, channels, height, width = shape_of(x)
    n = len(lead)
    if "unshuffle" in str(call.target):
        r = call["downscale_factor"]
        split = b.reshape(x, [*lead, channels, height // r, r, width // r, r])
        dims = [n, n + 2, n + 4, n + 1, n + 3]
    else:
        r = call["upscale_factor"]
        split = b.reshape(x, [*lead, channels // r**2, r, r, height, width])
        dims = [n, n + 3, n + 1, n + 4, n + 2]
    return b.reshape(b.permute(split, [*range(n), *dims]), call.shape)


@spelled("channel_shuffle.default", "native_channel_shuffle.default")
def channel_shuffle(b: Builder, call: Call) -> Any:
    """[N, g c, ...] -> [N, c g, ...]."""
    x, groups = call["self"], call["groups"]
    batch, channels, *rest = shape_of(x)
    split = b.reshape(x, [batch, groups, channels // groups, *rest])
    return b.reshape(b.permute(split, [0, 2, 1, *range(3, 3 + len(rest))]), call.shape)


@spelled(
    "dropout.default", "feature_dropout.default", "alpha_dropout.default",
    "feature_alpha_dropout.default", "native_dropout.default",
)  # fmt: skip
def dropout(b: Builder, call: Call) -> Any:
    """Nothing at inference; one that drops even then makes the model random."""
    if call["train"] and call["p"] > 0:
        raise CaptureError(
            f"{', '.join(b.sources)} draws random numbers: its dropout ({call.target}) is on "
            "although the model is in eval mode; pass training=self.training"
        )
    x = next(iter(call.named.values()))
    return [x, None] if "native_dropout" in str(call.target) else x


@spelled(
    "alias.default", "detach.default", "clone.default", "contiguous.default",
    "lift_fresh.default", "lift_fresh_copy.default", "lift.default", "alias_copy.default",
    "detach_copy.default", "positive.default", "resolve_conj.default", "resolve_neg.default",
)  # fmt: skip
def nothing(b: Builder, call: Call) -> Any:
    """Copies and views of the whole."""
    return next(iter(call.named.values()))


@spelled(
    "to.dtype", "to.dtype_layout", "to.device", "to.other", "_to_copy.default", "type_as.default",
    "to.prim_Device", "to.prim_dtype", "_autocast_to_full_precision.default",
)  # fmt: skip
def convert(b: Builder, call: Call) -> Any:
    """A change of device or layout is nothing here; a change of type stays."""
    x = next(iter(call.named.values()))
    like = call.named.get("other")
    dtype = call.named.get("dtype") if like is None else dtype_of(like)
    dtype = dtype or dtype_of(x)
    return x if dtype == dtype_of(x) else b.emit(aten.to.dtype, x, dtype)


@spelled("copy.default")
def copy(b: Builder, call: Call) -> Any:
    """Writing `src` over the whole of `self`."""
    src = call["src"]
    if shape_of(src) != call.shape:
        src = b.emit(aten.expand.default, src, list(call.shape))
    dtype = dtype_of(call["self"])
    return src if dtype == dtype_of(src) else b.emit(aten.to.dtype, src, dtype)
