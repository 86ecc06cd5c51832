"""Programs are the same whatever their parts are called, and else are not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from efcompile.lowering.program import Buffer, Call, KernelFunction, Program
from efcompile.report.same_program import digest
from efcompile.targets.resolve import resolve


def _program(prefix: str = "") -> Program:
    weight = Buffer(f"{prefix}w", (4, 4), "float32", "constant", 0)
    buffers = {
        "x": Buffer("x", (1, 4), "float32", "input", 0),
        weight.name: weight,
        f"{prefix}t": Buffer(f"{prefix}t", (1, 4), "float32", "arena", 64),
        "y": Buffer("y", (1, 4), "float32", "output", 0),
    }
    kernel = KernelFunction("linear_1", "linear", None, 3, 0)
    calls = (
        Call("linear_1", ("x", weight.name, f"{prefix}t"), 1, "linear", (f"{prefix}a",), 32, 96),
        Call("linear_1", (f"{prefix}t", weight.name, "y"), 1, "linear", ("b",), 32, 96),
    )
    values = {weight.name: np.arange(16, dtype=np.float32).reshape(4, 4)}
    kernels = {"linear_1": kernel}
    return Program("m", resolve("host"), buffers, values, kernels, calls, ("x",), ("y",), 128)


def test_names_of_buffers_and_modules_do_not_matter() -> None:
    assert digest(_program()) == digest(_program("other."))


def _moved(program: Program) -> Program:
    buffers = program.buffers | {"t": replace(program.buffers["t"], offset=128)}
    return replace(program, buffers=buffers)


def _weighted(program: Program) -> Program:
    return replace(program, constants={"w": program.constants["w"] + np.float32(1e-6)})


def _called(program: Program) -> Program:
    return replace(program, calls=(replace(program.calls[0], symbol="linear_2"), program.calls[1]))


def _tasked(program: Program) -> Program:
    return replace(program, calls=(replace(program.calls[0], tasks=2), program.calls[1]))


def _turned(program: Program) -> Program:
    first = replace(program.calls[0], args=("w", "x", "t"))
    return replace(program, calls=(first, program.calls[1]))


@pytest.mark.parametrize("change", [_moved, _weighted, _called, _tasked, _turned])
def test_all_that_is_executed_does(change: Callable[[Program], Program]) -> None:
    assert digest(change(_program())) != digest(_program())


def test_so_does_the_arena() -> None:
    assert digest(replace(_program(), arena_bytes=256)) != digest(_program())
