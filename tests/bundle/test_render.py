from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.bundle.cpu_features import Feature
from efcompile.bundle.render import write_sources
from efcompile.errors import BundleError
from efcompile.lowering.program import Buffer, Program
from tests.bundle.programs import tiny_program

FEATURES = (Feature("avx2", "7, 0, 1, 5, 6"),)


def _write(program: Program, folder: Path) -> str:
    write_sources(program, bytes(32), 4096, FEATURES, folder)
    return (folder / "ef_tables.h").read_text()


def test_tables_hold_the_calls_and_where_their_arguments_live(tmp_path: Path) -> None:
    tables = _write(tiny_program(), tmp_path)
    assert "{call_tiny_k_multiply, 24, 3, 0, 0}" in tables
    assert "{call_tiny_k_mirror, 24, 2, 0, 3}" in tables
    assert "{EF_INPUT, 0}" in tables
    assert "{EF_OUTPUT, 1}" in tables
    assert "{EF_ARENA, 128}" in tables
    assert "{EF_CONSTANT, 64}" in tables
    assert "#define EF_WEIGHT_BYTES ((size_t)4160)" in tables


def test_a_thread_takes_its_tasks_of_a_chained_kernel_at_once(tmp_path: Path) -> None:
    program = tiny_program()
    chained = {k: replace(v, chained=k == "mirror") for k, v in program.kernels.items()}
    tables = _write(replace(program, kernels=chained), tmp_path)
    assert "{call_tiny_k_mirror, 24, 2, 1, 3}" in tables
    assert "{call_tiny_k_multiply, 24, 3, 0, 0}" in tables


def test_tensor_names_cannot_break_out_of_their_string(tmp_path: Path) -> None:
    program = tiny_program()
    evil = replace(program.buffers["x"], name='x"\n;')
    tables = _write(replace(program, buffers=program.buffers | {"x": evil}), tmp_path)
    assert '{"x___", "float32"' in tables


def test_a_program_without_calls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nothing to run"):
        _write(replace(tiny_program(), calls=()), tmp_path)


def test_a_call_with_the_wrong_number_of_buffers_is_refused(tmp_path: Path) -> None:
    program = tiny_program()
    short = replace(program.calls[0], args=("x", "h"))
    with pytest.raises(BundleError, match=r"'multiply' passes 2 buffers; the kernel takes 3"):
        _write(replace(program, calls=(short,)), tmp_path)


def test_tensors_of_too_many_dimensions_are_refused(tmp_path: Path) -> None:
    program = tiny_program()
    deep = Buffer("x", (1,) * 9, "float32", "input", 0)
    with pytest.raises(BundleError, match="'x' has 9 dimensions, over 8"):
        _write(replace(program, buffers=program.buffers | {"x": deep}), tmp_path)
