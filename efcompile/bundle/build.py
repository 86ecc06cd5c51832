"""A program's files, built in a scratch folder: sources, objects, libraries, weights."""

import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from efcompile import tvm_api
from efcompile.bundle.android import link_android
from efcompile.bundle.cpu_features import required_features
from efcompile.bundle.kernel_objects import compile_kernels
from efcompile.bundle.names import identifier
from efcompile.bundle.object_cache import user_cache
from efcompile.bundle.render import NATIVE, write_sources
from efcompile.bundle.toolchain import Toolchain, object_toolchain, static_toolchain
from efcompile.bundle.weights import build_id, constant_bytes, weights_file
from efcompile.errors import BundleError
from efcompile.lowering.program import Program
from efcompile.steps import step
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
    with step("kernels"):
        code = compile_kernels(program, user_cache())
    constants = constant_bytes(program)
    build = build_id(program, b"".join(code.values()), constants)
    sizes = {symbol: len(data) for symbol, data in code.items()}
    write_sources(program, build, len(constants), features, folder, sizes)
    kernels = [folder / f"{symbol}.o" for symbol in code]
    for path, data in zip(kernels, code.values(), strict=True):
        path.write_bytes(data)
    weights = folder / "weights.bin"
    weights.write_bytes(weights_file(constants, build))
    files = {f"{model}.h": folder / f"{model}.h", "weights.bin": weights}
    with step("link"):
        files |= _link(target, model, kernels, folder, wanted)
    return Built(files, build, tuple(feature.name for feature in features))


def _link(
    target: Target, model: str, kernels: Sequence[Path], folder: Path, parts: Collection[Part]
) -> dict[str, Path]:
    jobs: list[tuple[Toolchain, str]] = []
    library = object_toolchain(target)
    if set(parts) - {"bench"}:
        jobs += [(library, name) for name in ("ef_driver", "ef_pool")]
    if "shared" in parts:
        jobs.append((library, "ef_ffi"))
    if "bench" in parts:
        static = static_toolchain(target)
        jobs += [(static, name) for name in ("ef_bench", "ef_driver", "ef_pool")]
    compiled = _compile_sources(dict.fromkeys(jobs), model, folder)

    files: dict[str, Path] = {}
    if set(parts) - {"bench"}:
        objects = [compiled[library, "ef_driver"], *kernels, compiled[library, "ef_pool"]]
    if "objects" in parts:
        files |= {path.name: path for path in objects}
    if "archive" in parts:
        archive = library.archive(objects, folder / f"lib{model}.a")
        files[archive.name] = archive
    if "shared" in parts:
        output = folder / f"lib{model}.so"
        linked = [*objects, compiled[library, "ef_ffi"]]
        if target.os == "android":
            link_android(library, linked, output, folder)
        else:
            library.link_shared(linked, output)
        files[output.name] = output
    if "bench" in parts:
        driver = [compiled[static, name] for name in ("ef_bench", "ef_driver", "ef_pool")]
        files["bench"] = static.link_static([*driver, *kernels], folder / "bench")
    return files


def _compile_sources(
    jobs: Iterable[tuple[Toolchain, str]], model: str, folder: Path
) -> dict[tuple[Toolchain, str], Path]:
    """Each C source by each toolchain that needs it, side by side."""

    def compile_source(job: tuple[Toolchain, str]) -> Path:
        toolchain, source = job
        made = folder / f"objects{toolchains.index(toolchain)}"
        made.mkdir(exist_ok=True)
        name = f"{model}_driver" if source == "ef_driver" else source
        return toolchain.compile(NATIVE / f"{source}.c", made / f"{name}.o", [folder, NATIVE])

    wanted = list(jobs)
    toolchains = list(dict.fromkeys(toolchain for toolchain, _ in wanted))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return dict(zip(wanted, pool.map(compile_source, wanted), strict=True))
