"""An object for each kernel: its symbols, and when it is compiled at all."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from efcompile import tvm_api
from efcompile.bundle.kernel_objects import compile_kernels
from efcompile.bundle.object_cache import ObjectCache
from efcompile.lowering.program import Program
from efcompile.targets.target import Target
from tests.bundle.binaries import elf_symbols, macho_symbols
from tests.bundle.programs import target_named, tiny_program

SYMBOLS = {
    kernel: {kernel, f"{kernel}__extendhfsf2", f"{kernel}__truncsfhf2"}
    for kernel in ("tiny_k_multiply", "tiny_k_mirror")
}


@pytest.fixture
def cache(tmp_path: Path) -> ObjectCache:
    return ObjectCache(tmp_path / "cache")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The symbols that TVM is asked to compile, as they come."""
    seen: list[str] = []
    plain = tvm_api.build_object

    def build_object(functions: Sequence[Any], target: Target) -> bytes:
        seen.extend(str(function.attrs["global_symbol"]) for function in functions)
        return plain(functions, target)

    monkeypatch.setattr(tvm_api, "build_object", build_object)
    return seen


@pytest.mark.parametrize("target", ["host", "arm64"])
def test_elf_kernels_are_prefixed_and_hidden(target: str, tmp_path: Path) -> None:
    objects = compile_kernels(tiny_program(target=target_named(target)), None)
    assert set(objects) == set(SYMBOLS)
    for kernel, data in objects.items():
        path = tmp_path / f"{kernel}.o"
        path.write_bytes(data)
        symbols = elf_symbols(path)
        assert {s.name for s in symbols if s.defined} == SYMBOLS[kernel]
        assert {s.visibility for s in symbols if s.defined} == {"STV_HIDDEN"}
        assert not [s for s in symbols if not s.defined]


def test_macho_kernels_are_prefixed_and_private_extern(tmp_path: Path) -> None:
    for kernel, data in compile_kernels(
        tiny_program(target=target_named("iphone12")), None
    ).items():
        path = tmp_path / f"{kernel}.o"
        path.write_bytes(data)
        symbols = macho_symbols(path)
        assert {s.name for s in symbols if s.defined} == {f"_{name}" for name in SYMBOLS[kernel]}
        assert {s.visibility for s in symbols if s.defined} == {"private external"}
        assert not [s for s in symbols if not s.defined]


def test_a_kernel_is_compiled_once_for_all_models(cache: ObjectCache, compiled: list[str]) -> None:
    first = compile_kernels(tiny_program("first"), cache)
    assert sorted(compiled) == ["mirror", "multiply"]
    again = compile_kernels(tiny_program("first"), cache)
    other = compile_kernels(tiny_program("second"), cache)
    assert len(compiled) == 2
    assert again == first
    assert sorted(other) == ["second_k_mirror", "second_k_multiply"]


def test_without_a_cache_every_kernel_is_compiled_and_equal(
    cache: ObjectCache, compiled: list[str]
) -> None:
    cached = [compile_kernels(tiny_program(), cache) for _ in range(2)][-1]
    assert compile_kernels(tiny_program(), None) == cached
    assert len(compiled) == 4


def _other_code(program: Program) -> Program:
    """The same names, but `multiply` does something else."""
    mirror = program.kernels["mirror"]
    return replace(
        program, kernels={"mirror": mirror, "multiply": replace(mirror, symbol="multiply")}
    )


def test_other_code_under_the_same_name_is_another_entry(
    cache: ObjectCache, compiled: list[str]
) -> None:
    first = compile_kernels(tiny_program(), cache)
    second = compile_kernels(_other_code(tiny_program()), cache)
    assert compiled[2:] == ["multiply"]
    assert first["tiny_k_multiply"] != second["tiny_k_multiply"]
    assert first["tiny_k_mirror"] == second["tiny_k_mirror"]


def test_another_target_is_another_entry(cache: ObjectCache, compiled: list[str]) -> None:
    compile_kernels(tiny_program(target=target_named("cortex-a55")), cache)
    compile_kernels(tiny_program(target=target_named("cortex-a76")), cache)
    assert len(compiled) == 4


def test_a_damaged_entry_is_compiled_again(cache: ObjectCache, compiled: list[str]) -> None:
    first = compile_kernels(tiny_program(), cache)
    for path in cache.folder.iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="is damaged: compiling that kernel again"):
        assert compile_kernels(tiny_program(), cache) == first
    assert compile_kernels(tiny_program(), cache) == first
    assert len(compiled) == 4, "and kept whole"


def test_a_folder_that_cannot_be_written_is_said_and_does_not_stop_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ObjectCache(tmp_path / "file" / "cache")
    with pytest.warns(UserWarning, match="cannot keep compiled kernels in .*EFCOMPILE_CACHE"):
        objects = compile_kernels(tiny_program(), cache)
    assert objects == compile_kernels(tiny_program(), None)


def test_a_kernel_that_does_not_compile_raises_and_keeps_nothing(
    cache: ObjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_object(functions: Sequence[Any], target: Target) -> bytes:
        raise RuntimeError("LLVM says no")

    monkeypatch.setattr(tvm_api, "build_object", build_object)
    with pytest.raises(RuntimeError, match="LLVM says no"):
        compile_kernels(tiny_program(), cache)
    assert not cache.folder.exists()
