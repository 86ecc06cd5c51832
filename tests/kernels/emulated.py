"""Kernels for arm64, each linked into a small static program and run under the emulator."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.toolchain import static_toolchain
from efcompile.devices.emulator import cpu_model, emulate, find_emulator
from efcompile.errors import DeviceError, ToolchainError
from efcompile.kernels.kernel import Array
from efcompile.targets.resolve import resolve

ARM64 = resolve("arm64")

_MAIN = Path(__file__).with_name("native") / "run_kernel.c"


def run_emulated(
    code: bytes, arrays: Sequence[Array], out: Array, scratch_bytes: int, tasks: int, pieces: int
) -> None:
    """Run `kernel_under_test` of the object `code` on copies of `arrays`, the result into
    `out`; its tasks are cut into `pieces` ranges, run in reverse order.

    Skips the test where arm64 programs cannot be linked or run, saying what would help.
    Raises `DeviceError` if the kernel dies or writes past its result or scratch.
    """
    _require_emulator()
    program = _link(code)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"pointer_{i}" for i in range(len(arrays) + 1)]
        for file, array in zip(files, [*arrays, out], strict=True):
            file.write_bytes(array.tobytes())
        numbers = [str(n) for n in (tasks, pieces, scratch_bytes)]
        emulate([program, *numbers, *files], cpu=cpu_model(ARM64.features))
        out[...] = np.frombuffer(files[-1].read_bytes(), out.dtype).reshape(out.shape)


def _require_emulator() -> None:
    try:
        find_emulator()
        static_toolchain(ARM64)
    except (DeviceError, ToolchainError) as error:
        pytest.skip(str(error))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@cache
def _main_object() -> Path:
    output = Path(_folder().name) / "main.o"
    return static_toolchain(ARM64).compile(_MAIN, output, ())


@cache
def _link(code: bytes) -> Path:
    folder = Path(tempfile.mkdtemp(dir=_folder().name))
    source = folder / "kernel.o"
    source.write_bytes(code)
    return static_toolchain(ARM64).link_static([_main_object(), source], folder / "run_kernel")
