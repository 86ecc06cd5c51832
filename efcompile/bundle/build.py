"""A program's files, built in a scratch folder: sources, objects, libraries, weights."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from efcompile import tvm_api
from efcompile.bundle.android import link_android
from efcompile.bundle.cpu_features import required_features
from efcompile.bundle.names import identifier, kernel_symbol
from efcompile.bundle.objects import HALF_HELPERS, privatise
from efcompile.bundle.render import NATIVE, write_sources
from efcompile.bundle.toolchain import Toolchain, object_toolchain, static_toolchain
from efcompile.bundle.weights import build_id, constant_bytes, weights_file
from efcompile.errors import BundleError
from efcompile.lowering.program import Program
from efcompile.targets.target import Target

Part = Literal["shared", "archive", "objects", "bench"]
"""`lib<m>.so`; `lib<m>.a`; its members as files; the static benchmark."""


@dataclass(frozen=True)
class Built:
    """Finished files by their name in the bundle, the build id, and the CPU features asked for."""

    files: dict[str, Path]
    build_id: bytes
    cpu_features: tuple[str, ...]


def possible_parts(target: Target) -> tuple[Part, ...]:
    """What can be made for a target: Apple's linker is needed to link for Apple's systems."""
    if target.object_format == "macho":
        return ("archive", "objects")
    return ("shared", "archive", "bench")


def build(program: Program, folder: Path, parts: Collection[Part] | None = None) -> Built:
    """Compile `program` and the driver into `folder`, which must be empty.

    Makes `parts` (default: all that are possible), besides ``<m>.h`` and ``weights.bin``.
    Raises `BundleError` for a part that the target cannot have, `ToolchainError` when a
    compiler or linker is missing or fails.
    """
    target = program.target
    possible = possible_parts(target)
    wanted = possible if parts is None else tuple(parts)
    for part in wanted:
        if part not in possible:
            raise BundleError(
                f"a bundle for {target.triple} has no {part!r}; possible: {', '.join(possible)}"
            )
    model = identifier(program.name)
    features = required_features(target, tvm_api.enabled_features(target))
    code = compile_kernels(program)
    constants = constant_bytes(program)
    build = build_id(program, code, constants)
    write_sources(program, build, len(constants), features, folder)
    kernels = folder / f"{model}_kernels.o"
    kernels.write_bytes(code)
    weights = folder / "weights.bin"
    weights.write_bytes(weights_file(constants, build))
    files = {f"{model}.h": folder / f"{model}.h", "weights.bin": weights}
    if set(wanted) - {"bench"}:
        files |= _libraries(target, model, kernels, folder, wanted)
    if "bench" in wanted:
        files["bench"] = _bench(target, kernels, folder)
    return Built(files, build, tuple(feature.name for feature in features))


def compile_kernels(program: Program) -> bytes:
    """One object with every kernel under its final, hidden symbol."""
    model = identifier(program.name)
    functions = [
        kernel.func.with_attr("global_symbol", kernel_symbol(model, kernel.symbol))
        for kernel in program.kernels.values()
    ]
    renamed = {helper: kernel_symbol(model, helper) for helper in HALF_HELPERS}
    return privatise(tvm_api.build_object(functions, program.target), renamed)


def _libraries(
    target: Target, model: str, kernels: Path, folder: Path, parts: Collection[Part]
) -> dict[str, Path]:
    toolchain = object_toolchain(target)
    driver = _compile(toolchain, "ef_driver", folder, folder / f"{model}_driver.o")
    pool = _compile(toolchain, "ef_pool", folder, folder / "ef_pool.o")
    objects = [driver, kernels, pool]
    files: dict[str, Path] = {}
    if "objects" in parts:
        files |= {path.name: path for path in objects}
    if "archive" in parts:
        archive = toolchain.archive(objects, folder / f"lib{model}.a")
        files[archive.name] = archive
    if "shared" in parts:
        ffi = _compile(toolchain, "ef_ffi", folder, folder / "ef_ffi.o")
        library = folder / f"lib{model}.so"
        if target.os == "android":
            link_android(toolchain, [*objects, ffi], library, folder)
        else:
            toolchain.link_shared([*objects, ffi], library)
        files[library.name] = library
    return files


def _bench(target: Target, kernels: Path, folder: Path) -> Path:
    toolchain = static_toolchain(target)
    objects = [
        _compile(toolchain, name, folder, folder / f"{name}.static.o")
        for name in ("ef_bench", "ef_driver", "ef_pool")
    ]
    return toolchain.link_static([*objects, kernels], folder / "bench")


def _compile(toolchain: Toolchain, source: str, folder: Path, output: Path) -> Path:
    return toolchain.compile(NATIVE / f"{source}.c", output, [folder, NATIVE])
