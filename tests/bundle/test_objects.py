import subprocess
from pathlib import Path

import pytest

from efcompile.bundle.objects import privatise
from efcompile.errors import ToolchainError
from tests.bundle.binaries import elf_symbols


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
