"""Names a bundle is known by: its C prefix, its directory, its tensors' layouts."""

import re

import numpy as np

from efcompile.errors import BundleError
from efcompile.lowering.program import Buffer, Program

_SHORT_DTYPES = {"float32": "fp32", "float16": "fp16", "float64": "fp64"}


def identifier(name: str) -> str:
    """`name` as the C prefix ``<m>`` of everything a model exports.

    ``ef`` and ``ef_...`` belong to what all models share, so such names get an ``m_``.
    """
    made = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    if not made:
        raise BundleError(
            f"the model name {name!r} has no letter or digit to make a C name of: pass another name"
        )
    reserved = made == "ef" or made.startswith("ef_")
    return f"m_{made}" if made[0].isdigit() or reserved else made


def kernel_symbol(model: str, symbol: str) -> str:
    """The final C symbol of a kernel, so that two models link into one program."""
    if not re.fullmatch(r"\w+", symbol, flags=re.ASCII):
        raise BundleError(f"kernel symbol {symbol!r} of {model!r} is not a C identifier")
    return f"{model}_k_{symbol}"


def layout(shape: tuple[int, ...]) -> str:
    """How a boundary tensor of this shape is read: the module's own, contiguous order."""
    return {4: "NCHW", 2: "NC"}.get(len(shape), "row-major")


def bundle_name(program: Program) -> str:
    """``<model>.<target>.<dtype>.b<batch>x<pixels>``, after the first input.

    A square image shows one side, any other input all its dimensions behind the batch (and
    channels, for an image): ``b1x224``, ``b3x160x256``, ``b1x197x384``.
    """
    first: Buffer = program.buffers[program.inputs[0]]
    dtype = _SHORT_DTYPES.get(first.dtype, str(np.dtype(first.dtype)))
    sizes = list(first.shape)
    if len(sizes) == 4:
        sizes = [sizes[0], *sizes[2:]]
        if sizes[1] == sizes[2]:
            sizes.pop()
    shown = "x".join(str(size) for size in sizes)
    return f"{identifier(program.name)}.{program.target.name}.{dtype}.b{shown}"
