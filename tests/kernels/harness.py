"""The one checker for kernels: reference op, plain algorithm and built code must agree."""

import ctypes
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.kernel import Array, Kernel, OpCall, Operand
from efcompile.ops import OPS
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object, tvm
from tests.kernels.emulated import ARM64, run_emulated

HOST = resolve("host")
HOST = replace(HOST, strassen=HOST.arch == "x86_64", pairs=False, ask_l2=False)
"""This machine, with products in quarters whoever made it, as any can run them."""

PAIRS = replace(HOST, name="pairs", pairs=True)
"""The same machine as if its additions had pipes of their own: any can run that code."""

AVX2 = replace(
    HOST, name="avx2", cpu="x86-64-v3", features=("avx2", "fma"), vector_bits=256, registers=16
)
"""The same machine with 16 registers of 256 bits: the other x86 shape of every template."""

TARGETS = [HOST, AVX2] if HOST.arch == "x86_64" else [HOST]


on_every_target = pytest.mark.parametrize("target", [*TARGETS, ARM64], ids=lambda t: str(t.name))
"""Runs a test for each of `TARGETS` and, emulated, for arm64."""


def op_call(op: str, constants: Sequence[str] = (), **args: Any) -> OpCall:
    """An `OpCall` of dialect op `op` on torch arguments; those in `constants` carry values."""
    schema = OPS[op].overload._schema
    named: dict[str, Any] = {}
    for argument in schema.arguments:
        value = args.get(argument.name, argument.default_value)
        named[argument.name] = _operand(value, argument.name in constants)
    return OpCall(op, named, _operand(reference(op, **args), False))


def _operand(value: Any, constant: bool) -> Any:
    if isinstance(value, torch.Tensor):
        data = value.detach().contiguous().numpy()
        return Operand(tuple(value.shape), data.dtype.name, data if constant else None)
    if isinstance(value, list | tuple) and value and isinstance(value[0], torch.Tensor):
        return [_operand(v, constant) for v in value]
    return value


def reference(op: str, **args: Any) -> torch.Tensor:
    """The dialect op's own result."""
    result: torch.Tensor = OPS[op].overload(**args)
    return result


def run_built(
    kernel: Kernel,
    call: OpCall,
    args: dict[str, Any],
    target: Target = HOST,
    knobs: Any = None,
    pieces: int = 3,
) -> Array:
    """Compile the kernel for `call` and run it, its tasks cut into `pieces` ranges run in
    reverse order (tasks must not depend on one another)."""
    shape = kernel.shape_of(call)
    assert not isinstance(shape, str), shape
    knobs = kernel.default_knobs(shape, target) if knobs is None else knobs
    built = kernel.build("kernel_under_test", shape, target, knobs)
    arrays = [
        _runtime(args, item) if isinstance(item, str) else item
        for item in kernel.pack(call, shape, knobs)
    ]
    out = np.full(call.out.shape, np.nan, call.out.dtype)
    code = build_object([built.func], target)
    run_code(code, arrays, out, built.scratch_bytes, built.tasks, target, pieces)
    return out


def run_code(
    code: bytes,
    arrays: Sequence[Array],
    out: Array,
    scratch_bytes: int,
    tasks: int,
    target: Target = HOST,
    pieces: int = 1,
) -> None:
    """Run `kernel_under_test` of the object `code`, its result into `out`: here, or under the
    emulator if `target` is `ARM64`."""
    if target == ARM64:
        run_emulated(code, arrays, out, scratch_bytes, tasks, pieces)
        return
    guard = 64
    scratch = np.full(scratch_bytes + 2 * guard, 0xA5, np.uint8)
    function = _function(code)
    pointers = [*(a.ctypes.data for a in [*arrays, out]), _aligned(scratch, guard)]
    edges = np.linspace(0, tasks, pieces + 1).astype(int)
    for begin, end in reversed(list(pairwise(edges))):
        function(
            *(ctypes.c_void_p(p) for p in pointers), ctypes.c_int32(begin), ctypes.c_int32(end)
        )
    assert (scratch[scratch_bytes + guard :] == 0xA5).all(), "wrote past its scratch"


def _aligned(scratch: Array, guard: int) -> int:
    address = int(scratch.ctypes.data)
    return -(-address // guard) * guard


def _runtime(args: dict[str, Any], name: str) -> Array:
    head, _, index = name.partition(".")
    value = args[head][int(index)] if index else args[head]
    return np.ascontiguousarray(value.detach().numpy())


_LOADED: list[tempfile.TemporaryDirectory[str]] = []


def _function(code: bytes) -> Any:
    folder = tempfile.TemporaryDirectory()
    _LOADED.append(folder)
    source, library = Path(folder.name) / "k.o", Path(folder.name) / "k.so"
    source.write_bytes(code)
    subprocess.run(["cc", "-shared", "-o", library, source, "-lm"], check=True)
    function = ctypes.CDLL(str(library)).kernel_under_test
    function.restype = None
    return function


def run_plain(kernel: Kernel, call: OpCall, operands: Sequence[torch.Tensor]) -> Array:
    """Run the kernel's plain algorithm on the op's own operands, shaped as it declares them."""
    shape = kernel.shape_of(call)
    assert not isinstance(shape, str), shape
    plain = kernel.plain(shape)
    shapes = [tuple(int(d) for d in p.shape) for p in plain.params]
    library = tvm.compile(plain, target="llvm")
    arrays = [
        tvm.runtime.tensor(np.ascontiguousarray(t.detach().numpy()).reshape(s))
        for t, s in zip(operands, shapes, strict=False)
    ]
    out = tvm.runtime.tensor(np.full(shapes[-1], np.nan, np.float32))
    library["main"](*arrays, out)
    result: Array = out.numpy().reshape(call.out.shape)
    return result


def check(
    kernel: Kernel,
    /,
    constants: Sequence[str] = (),
    plain_operands: Sequence[str] | None = None,
    tolerance: float = 1e-5,
    targets: Sequence[Target] = TARGETS,
    **args: Any,
) -> None:
    """Assert that built code (for each of `targets`, one task range and several) and the
    plain algorithm match the op's reference within `tolerance` of the output's scale.  `HOST`
    stands for `PAIRS` too, where that makes a difference to the kernel."""
    call = op_call(kernel.op, constants, **args)
    wanted = reference(kernel.op, **args).numpy()
    knobs = {t: kernel.default_knobs(kernel.shape_of(call), t) for t in (HOST, PAIRS)}
    paired = [PAIRS] if HOST in targets and knobs[HOST] != knobs[PAIRS] else []
    for target in [*targets, *paired]:
        for pieces in (1, 3):
            assert_close(run_built(kernel, call, args, target, pieces=pieces), wanted, tolerance)
    if plain_operands is not None:
        operands = [args[name] for name in plain_operands if args.get(name) is not None]
        assert_close(run_plain(kernel, call, operands), wanted, tolerance)


def assert_close(got: Array, wanted: Array, tolerance: float = 1e-5) -> None:
    """max|got - wanted| / max|wanted| <= tolerance, and NaN nowhere."""
    assert got.shape == wanted.shape
    error = np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-30)
    assert error <= tolerance, f"relative error {error:.2e}"
