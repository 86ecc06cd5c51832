import shutil
from pathlib import Path

import pytest

from efcompile.bundle.android import PAGE_BYTES, link_android
from efcompile.bundle.load import Bundle
from efcompile.bundle.toolchain import object_toolchain
from efcompile.errors import ToolchainError
from tests.bundle.binaries import linked
from tests.bundle.programs import target_named

ANDROID = target_named("aarch64-linux-android")


def _link(folder: Path, code: str) -> Path:
    toolchain = object_toolchain(ANDROID)
    source = folder / "a.c"
    source.write_text(code)
    compiled = toolchain.compile(source, folder / "a.o", [])
    return link_android(toolchain, [compiled], folder / "liba.so", folder)


def test_library_needs_bionic_only_and_fits_large_pages(android_bundle: Bundle) -> None:
    found = linked(android_bundle.file("libtiny.so"))
    assert found.needed == ["libc.so"]
    assert found.soname == "libtiny.so"
    assert found.machine == "EM_AARCH64"
    assert found.load_alignments == {PAGE_BYTES}


@pytest.mark.parametrize("linker", ["zig", "gcc"])
def test_libm_is_needed_where_it_is_called(
    linker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if linker == "gcc":
        if shutil.which("aarch64-linux-gnu-gcc") is None:
            pytest.skip("apt-get install gcc-aarch64-linux-gnu")
        monkeypatch.setattr("efcompile.bundle.toolchain._zig_home", lambda: None)
    code = "#include <math.h>\n#include <stdlib.h>\n"
    code += "float *f(float x) { float *p = calloc(1, 4); *p = expf(x); return p; }\n"
    found = linked(_link(tmp_path, code))
    assert sorted(found.needed) == ["libc.so", "libm.so"]
    assert found.load_alignments == {PAGE_BYTES}


def test_what_bionic_is_not_known_to_have_does_not_link(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="qsort"):
        _link(tmp_path, "#include <stdlib.h>\nvoid f(void *p) { qsort(p, 1, 1, 0); }\n")
