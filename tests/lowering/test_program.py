from efcompile.lowering.program import Buffer, KernelFunction, Program
from efcompile.targets.resolve import resolve


def _program(scratch: tuple[int, ...]) -> Program:
    buffers = {
        "a": Buffer("a", (3,), "float32", "constant", 0),
        "b": Buffer("b", (5, 2), "int64", "constant", 64),
        "x": Buffer("x", (7,), "float32", "arena", 640),
    }
    kernels = {str(i): KernelFunction(str(i), "k", None, 2, s) for i, s in enumerate(scratch)}
    return Program("m", resolve("host"), buffers, {}, kernels, (), (), (), 1024)


def test_sizes() -> None:
    program = _program((0, 100, 60))
    assert program.buffers["b"].bytes == 80
    assert program.weight_bytes == 64 + 80
    assert program.scratch_bytes == 128


def test_a_program_without_kernels_needs_no_scratch() -> None:
    assert _program(()).scratch_bytes == 0
