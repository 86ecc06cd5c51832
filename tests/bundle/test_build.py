import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.bundle.build import Part, build, possible_parts
from efcompile.bundle.load import Bundle
from efcompile.errors import BundleError, TargetError
from tests.bundle.binaries import (
    ALLOWED,
    OPTIONAL,
    elf_symbols,
    linked,
    macho_symbols,
    members,
    tool,
)
from tests.bundle.programs import HOST, target_named, tiny_program, with_features

EXPORTED = {f"tiny_{name}" for name in ("info", "arena_bytes", "check", "run", "profile")}
POOL = {"ef_pool_create", "ef_pool_destroy"}
FFI = {"__tvm_ffi_tiny_run"}


def _check_library(path: Path) -> None:
    symbols = elf_symbols(path, ".dynsym")
    assert {s.name for s in symbols if s.defined} == EXPORTED | POOL | FFI
    assert {s.name for s in symbols if not s.defined} <= ALLOWED | OPTIONAL


def _check_elf_archive(path: Path, folder: Path) -> None:
    symbols = [s for member in members(path, folder) for s in elf_symbols(member)]
    defined = {s.name for s in symbols if s.defined}
    visible = {s.name for s in symbols if s.defined and s.visibility == "STV_DEFAULT"}
    assert visible == EXPORTED | POOL
    assert all(name.startswith(("tiny_", "ef_pool_")) for name in defined)
    assert {s.name for s in symbols if not s.defined} - defined <= ALLOWED


def test_host_library_shows_only_its_interface(host_bundle: Bundle) -> None:
    _check_library(host_bundle.file("libtiny.so"))


def test_arm64_library_shows_only_its_interface(arm64_bundle: Bundle) -> None:
    library = arm64_bundle.file("libtiny.so")
    _check_library(library)
    assert linked(library).machine == "EM_AARCH64"
    assert linked(library).soname == "libtiny.so"


def test_host_archive_shows_only_its_interface(host_bundle: Bundle, tmp_path: Path) -> None:
    _check_elf_archive(host_bundle.file("libtiny.a"), tmp_path)


def test_arm64_archive_shows_only_its_interface(arm64_bundle: Bundle, tmp_path: Path) -> None:
    _check_elf_archive(arm64_bundle.file("libtiny.a"), tmp_path)


def test_iphone_archive_shows_only_its_interface(iphone_bundle: Bundle) -> None:
    symbols = macho_symbols(iphone_bundle.file("libtiny.a"))
    defined = {s.name for s in symbols if s.defined}
    visible = {s.name for s in symbols if s.defined and s.visibility == "external"}
    assert visible == {f"_{name}" for name in EXPORTED | POOL}
    undefined = {s.name for s in symbols if not s.defined} - defined
    assert undefined
    assert undefined <= {f"_{name}" for name in ALLOWED}


def test_iphone_objects_are_arm64_for_ios(iphone_bundle: Bundle) -> None:
    objects = [name for name in iphone_bundle.manifest.files if name.endswith(".o")]
    kernels = ["tiny_k_mirror.o", "tiny_k_multiply.o"]
    assert sorted(objects) == ["ef_pool.o", "tiny_driver.o", *kernels]
    for name in objects:
        headers = tool("llvm-objdump", "--macho", "--private-headers", iphone_bundle.file(name))
        assert "ARM64" in headers
        assert "platform ios" in headers
        assert "minos 16.0" in headers


def test_mach_o_with_its_private_symbols_links(tmp_path: Path) -> None:
    """Apple's linker is not here; zig's links the same archive for macOS."""
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    target = target_named("aarch64-apple-macos13.0")
    build(tiny_program(target=target), tmp_path, ["archive"])
    source = tmp_path / "main.c"
    source.write_text(
        '#include "tiny.h"\n'
        "int main(void) { ef_pool_destroy(ef_pool_create(2)); return tiny_check(0, 0)\n"
        "  + tiny_run(0, 0, 0, 0, 0, 0, 0) + (int)tiny_arena_bytes(1); }\n"
    )
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-macos.13.0"]
    library = tmp_path / "libtiny.a"
    linked = tmp_path / "main"
    subprocess.run([*zig, f"-I{tmp_path}", source, library, "-o", linked], check=True)
    exported = {s.name for s in macho_symbols(linked) if s.defined and s.visibility == "external"}
    assert {f"_{name}" for name in EXPORTED} <= exported
    assert not any("_k_" in name for name in exported)


def test_unused_half_float_helpers_are_not_linked(host_bundle: Bundle) -> None:
    symbols = tool("nm", "--defined-only", host_bundle.file("bench"))
    assert "tiny_k_multiply" in symbols
    assert "hfsf2" not in symbols


def test_only_the_parts_asked_for_are_made(tmp_path: Path) -> None:
    built = build(tiny_program(), tmp_path, ["archive"])
    assert set(built.files) == {"tiny.h", "weights.bin", "libtiny.a"}


def test_a_part_the_target_cannot_have_is_refused(tmp_path: Path) -> None:
    parts: list[Part] = ["bench"]
    target = target_named("iphone12")
    assert "bench" not in possible_parts(target)
    with pytest.raises(BundleError, match="has no 'bench'; possible: archive, objects"):
        build(tiny_program(target=target), tmp_path, parts)


def test_an_uncheckable_feature_is_refused_before_compiling(tmp_path: Path) -> None:
    target = replace(with_features(HOST, "warp-drive"))
    with pytest.raises(TargetError, match="warp-drive"):
        build(tiny_program(target=target), tmp_path, ["archive"])


def test_the_header_compiles_as_c_and_as_cpp(host_bundle: Bundle, tmp_path: Path) -> None:
    for language in ("c", "c++"):
        source = tmp_path / f"use.{language}"
        source.write_text('#include "tiny.h"\nint main(void) { return tiny_info() == 0; }\n')
        flags = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-x", language]
        subprocess.run(["cc", *flags, f"-I{host_bundle.path}", "-fsyntax-only", source], check=True)
