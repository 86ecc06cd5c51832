"""Convolution with groups that are not single channels: one matrix product per group.

The code is that of `conv_direct`, a loop over groups around its products: a group's columns
are its own filters and its k runs its own channels.  A group of few filters fills only part of
a vector (a channel multiplier of two, two lanes); such groups are right, but slow.
"""

from efcompile.kernels.conv_direct import build, pack
from efcompile.kernels.conv_shape import ConvShape, conv_shape, plain_conv
from efcompile.kernels.conv_space import choices, default_knobs, legal
from efcompile.kernels.kernel import Kernel, OpCall


def shape_of(call: OpCall) -> ConvShape | str:
    """The shape of a grouped `conv2d` call, or why it is not one for this kernel."""
    shape = conv_shape(call)
    if not isinstance(shape, str) and shape.groups == 1:
        return "the convolution is dense"
    return shape


KERNEL = Kernel(
    "conv_grouped", "conv2d", shape_of, plain_conv, default_knobs, pack, build, choices, legal
)
