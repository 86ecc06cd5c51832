import subprocess
from pathlib import Path

import pytest

from efcompile.bundle.build import compile_kernels
from efcompile.bundle.objects import privatise
from efcompile.errors import ToolchainError
from tests.bundle.binaries import elf_symbols, macho_symbols
from tests.bundle.programs import target_named, tiny_program

KERNELS = {"tiny_k_multiply", "tiny_k_mirror", "tiny_k___extendhfsf2", "tiny_k___truncsfhf2"}


@pytest.mark.parametrize("target", ["host", "arm64"])
def test_elf_kernels_are_prefixed_and_hidden(target: str, tmp_path: Path) -> None:
    path = tmp_path / "kernels.o"
    path.write_bytes(compile_kernels(tiny_program(target=target_named(target))))
    symbols = elf_symbols(path)
    assert {s.name for s in symbols if s.defined} == KERNELS
    assert {s.visibility for s in symbols if s.defined} == {"STV_HIDDEN"}
    assert not [s for s in symbols if not s.defined]


def test_macho_kernels_are_prefixed_and_private_extern(tmp_path: Path) -> None:
    path = tmp_path / "kernels.o"
    path.write_bytes(compile_kernels(tiny_program(target=target_named("iphone12"))))
    symbols = macho_symbols(path)
    assert {s.name for s in symbols if s.defined} == {f"_{name}" for name in KERNELS}
    assert {s.visibility for s in symbols if s.defined} == {"private external"}
    assert not [s for s in symbols if not s.defined]


def test_renamed_symbols_keep_their_callers(tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text(
        "__attribute__((noinline)) int helper(int x) { return x + 1; }\n"
        "int extra(int);\nint twice(int x) { return helper(helper(x)) + extra(x); }\n"
    )
    main = tmp_path / "main.c"
    main.write_text(
        "int twice(int);\nint extra(int x) { return 10 * x; }\n"
        "int helper(void) { return -1; }\n"
        "int main(void) { return twice(3) == 35 && helper() == -1 ? 0 : 1; }\n"
    )
    subprocess.run(["cc", "-c", source, "-o", tmp_path / "a.o"], check=True)
    private = privatise((tmp_path / "a.o").read_bytes(), {"helper": "a_much_longer_name"})
    (tmp_path / "a.o").write_bytes(private)
    subprocess.run(["cc", main, tmp_path / "a.o", "-o", tmp_path / "main"], check=True)
    subprocess.run([tmp_path / "main"], check=True)
    assert "a_much_longer_name" in {s.name for s in elf_symbols(tmp_path / "a.o")}


def test_other_formats_are_refused() -> None:
    with pytest.raises(ToolchainError, match="neither"):
        privatise(b"MZ" + bytes(100), {})
