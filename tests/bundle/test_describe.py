"""What a manifest says of the program's calls and of its memory."""

from dataclasses import replace

from efcompile.bundle.describe import describe, operand_bytes
from efcompile.bundle.manifest import FileEntry, Manifest, PlanEntry
from efcompile.kernels import gemm
from efcompile.kernels.work import Work, work_of
from efcompile.lowering.program import Program
from tests.bundle.programs import SHAPE, tiny_program

BYTES = 4 * SHAPE[1] * SHAPE[2] * SHAPE[3]


def _manifest(program: Program) -> Manifest:
    files = {"libtiny.so": FileEntry(sha256="1", bytes=9)}
    return describe(program, bytes(32), (), files)


def test_calls_are_listed_in_the_networks_order() -> None:
    manifest = _manifest(tiny_program())
    symbols = [manifest.kernels[call.kernel].symbol for call in manifest.calls]
    assert symbols == ["tiny_k_multiply", "tiny_k_mirror", "tiny_k_multiply"]
    assert [call.sources for call in manifest.calls] == [
        ("net.multiply",),
        ("net.mirror",),
        ("net.multiply",),
    ]
    assert {call.op for call in manifest.calls} == {"test"}


def test_constants_and_what_flows_are_told_apart() -> None:
    first, second, _ = _manifest(tiny_program()).calls
    assert (first.weight_bytes, first.activation_bytes) == (BYTES, 2 * BYTES)
    assert (second.weight_bytes, second.activation_bytes) == (0, 2 * BYTES)


def test_an_operand_that_is_given_twice_is_moved_once() -> None:
    program = tiny_program()
    call = replace(program.calls[0], args=("x", "x", "h"))
    assert operand_bytes(program, call) == (0, 2 * BYTES)


def test_the_plan_has_every_tensor_of_the_arena() -> None:
    assert _manifest(tiny_program()).plan == (
        PlanEntry(name="h", offset=128, bytes=BYTES, first=0, last=2),
    )


def test_kernels_say_what_their_shape_needs() -> None:
    program = tiny_program()
    shape = gemm.Shape(images=1, m=4, n=8, k=16, bias=False, residual=False, act="none")
    kernels = program.kernels | {
        "mirror": replace(program.kernels["mirror"], kernel="gemm", shape=shape)
    }
    found = {k.symbol: k.work for k in _manifest(replace(program, kernels=kernels)).kernels}
    assert found["tiny_k_mirror"] == work_of("gemm", shape) != Work()
    assert found["tiny_k_multiply"] == Work()  # without a shape nothing is known
