"""A small program that says what the machine it runs on is; also as a library for an RPC server."""

from dataclasses import dataclass
from pathlib import Path

from efcompile import tvm_api
from efcompile.bundle.android import link_android
from efcompile.bundle.cpu_features import Feature, required_features
from efcompile.bundle.render import NATIVE as BUNDLE_NATIVE
from efcompile.bundle.toolchain import Toolchain, object_toolchain, static_toolchain
from efcompile.errors import DeviceError
from efcompile.targets.target import Target

NATIVE = Path(__file__).parent / "native"
FUNCTION = "efcompile_probe"
"""The library's function: takes a uint8 tensor to write into, returns how many bytes it wrote."""
CAPACITY = 1 << 16
"""Bytes that are enough for it to write into."""


@dataclass(frozen=True)
class Machine:
    """What the probe found: the kernel's names, the cores it may use, bytes free in its working
    directory (None if not told), the features that code for the target uses and it lacks, the
    paths of TVM's libraries in its process, and the version of tvm-ffi there (empty: none)."""

    arch: str
    system: str
    cores: int
    free_bytes: int | None
    lacks: tuple[str, ...]
    libraries: tuple[str, ...]
    ffi: str


def build_probe_program(target: Target, folder: Path) -> Path:
    """A static program for a Linux or Android target; raises `ToolchainError`."""
    toolchain = static_toolchain(target)
    objects = _compile(toolchain, target, folder, "ef_probe_main")
    return toolchain.link_static(objects, folder / "probe")


def build_probe_library(target: Target, folder: Path) -> Path:
    """A shared library with `FUNCTION` for TVM's loader; raises `ToolchainError`."""
    toolchain = object_toolchain(target)
    objects = _compile(toolchain, target, folder, "ef_probe_ffi")
    output = folder / "libprobe.so"
    if target.os == "android":
        return link_android(toolchain, objects, output, folder)
    return toolchain.link_shared(objects, output)


def read_machine(text: str) -> Machine:
    """What the probe wrote; `DeviceError` if it is not that."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    if not {"machine", "system", "cores"} <= set(found):
        raise DeviceError(
            f"the probe of the machine said {text[:80]!r}: it did not run as it should; see that "
            "nothing else writes to its output"
        )
    return Machine(
        arch=found["machine"][0],
        system=found["system"][0],
        cores=int(found["cores"][0]),
        free_bytes=int(found["free"][0]) if "free" in found else None,
        lacks=tuple(found.get("lacks", ())),
        libraries=tuple(dict.fromkeys(found.get("library", ()))),
        ffi=found.get("ffi", [""])[0],
    )


def _compile(toolchain: Toolchain, target: Target, folder: Path, entry: str) -> list[Path]:
    features = required_features(target, tvm_api.enabled_features(target))
    (folder / "ef_probe_features.h").write_text(_rows(features))
    include = [folder, NATIVE, BUNDLE_NATIVE]
    sources = [NATIVE / f"{name}.c" for name in ("ef_probe", entry)]
    return [toolchain.compile(source, folder / f"{source.stem}.o", include) for source in sources]


def _rows(features: tuple[Feature, ...]) -> str:
    rows = "".join(f'  {{"{feature.name}", {{{feature.row}}}}},\n' for feature in features)
    return (
        "typedef struct {\n  const char *name;\n  ef_feature feature;\n} ef_probe_row;\n"
        f"static const ef_probe_row ef_probe_rows[] = {{\n{rows}  {{0}},\n}};\n"
    )
