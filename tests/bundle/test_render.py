from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.bundle.cpu_features import Feature
from efcompile.bundle.render import write_sources
from efcompile.errors import BundleError
from efcompile.lowering.program import Buffer, Program
from efcompile.targets.resolve import resolve
from tests.bundle.programs import HOST, tiny_program

FEATURES = (Feature("avx2", "7, 0, 1, 5, 6"),)
CODE = {"tiny_k_multiply": 10**6, "tiny_k_mirror": 100}
MOST = HOST.l2_bytes // 32 if HOST.arch == "x86_64" else 0
"""What a call asks for ahead at the most."""


def _write(program: Program, folder: Path) -> str:
    write_sources(program, bytes(32), 4096, FEATURES, folder, CODE)
    return (folder / "ef_tables.h").read_text()


def test_tables_hold_the_calls_and_where_their_arguments_live(tmp_path: Path) -> None:
    tables = _write(tiny_program(), tmp_path)
    assert "{call_tiny_k_multiply, 24, 3, 0, 0,\n" in tables
    assert "{call_tiny_k_mirror, 24, 2, 0, 3,\n" in tables
    assert "{EF_INPUT, 0, 0}" in tables
    assert "{EF_OUTPUT, 0, 1}" in tables
    assert "{EF_ARENA, 0, 128}" in tables
    constant = next(b for b in tiny_program().buffers.values() if b.offset == 64)
    assert f"{{EF_CONSTANT, {min(MOST, constant.bytes)}, 64}}" in tables
    assert "#define EF_WEIGHT_BYTES ((size_t)4160)" in tables


def test_code_is_asked_for_as_far_as_a_part_of_the_cache_goes(tmp_path: Path) -> None:
    tables = _write(tiny_program(), tmp_path)
    assert f"(ef_code)tiny_k_multiply, {MOST}}}" in tables
    assert f"(ef_code)tiny_k_mirror, {min(MOST, 100)}}}" in tables


def test_nothing_is_asked_for_where_it_was_not_measured(tmp_path: Path) -> None:
    tables = _write(replace(tiny_program(), target=resolve("arm64")), tmp_path)
    assert "(ef_code)tiny_k_multiply, 0}" in tables and "{EF_CONSTANT, 0, 64}" in tables


def test_a_thread_takes_its_tasks_of_a_chained_kernel_at_once(tmp_path: Path) -> None:
    program = tiny_program()
    chained = {k: replace(v, chained=k == "mirror") for k, v in program.kernels.items()}
    tables = _write(replace(program, kernels=chained), tmp_path)
    assert "{call_tiny_k_mirror, 24, 2, 1, 3,\n" in tables
    assert "{call_tiny_k_multiply, 24, 3, 0, 0,\n" in tables


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
