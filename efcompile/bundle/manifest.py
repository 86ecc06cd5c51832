"""`manifest.json`: what a bundle is, and a checksum of every file, itself included."""

import hashlib
import json
import re
from dataclasses import asdict
from importlib import metadata
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from efcompile.bundle.abi import ABI
from efcompile.bundle.names import identifier, kernel_symbol, layout
from efcompile.errors import BundleError
from efcompile.lowering.program import Buffer, Program
from efcompile.targets.target import Target

NAME = "manifest.json"
FORMAT: Literal[1] = 1
_PACKAGES = ("efcompile", "apache-tvm", "apache-tvm-ffi", "torch", "numpy")
_ZEROS = "0" * 64
_CHECKSUM = re.compile(r'^  "checksum": "([0-9a-f]{64})"', flags=re.MULTILINE)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Frozen):
    """A file of the bundle."""

    sha256: str
    bytes: int


class TensorEntry(_Frozen):
    """A boundary tensor: contiguous, `layout` naming its dimensions."""

    name: str
    dtype: str
    layout: str
    dims: tuple[int, ...]
    bytes: int


class SizesEntry(_Frozen):
    """Bytes: intermediate tensors, scratch of one thread, constants, and the compiled code
    (the shared library where there is one, else the archive or the largest object)."""

    arena: int
    scratch: int
    weights: int
    library: int


class KernelEntry(_Frozen):
    """A kernel: its file in `efcompile.kernels`, C symbol, number of calls, what all of them
    together cost nominally (floating-point operations, bytes moved at least), and the modules
    of the user's model that it computes."""

    name: str
    symbol: str
    calls: int
    flops: int
    bytes: int
    sources: tuple[str, ...]


class Manifest(_Frozen):
    """All that is known of a bundle without running it.  `structure` is how the outputs nest
    (a serialised pytree; empty: a flat list)."""

    format: Literal[1]
    checksum: str
    model: str
    prefix: str
    abi: int
    build_id: str
    versions: dict[str, str]
    target: Target
    cpu_features: tuple[str, ...]
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    structure: str
    sizes: SizesEntry
    kernels: tuple[KernelEntry, ...]
    leftovers: tuple[str, ...]
    files: dict[str, FileEntry]

    @field_validator("files")
    @classmethod
    def _plain_names(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
                raise ValueError(f"{name!r} is not a plain file name")
        return files


def describe(
    program: Program,
    build_id: bytes,
    cpu_features: tuple[str, ...],
    files: dict[str, FileEntry],
    structure: str = "",
) -> Manifest:
    """The manifest of a bundle that holds `files`; its checksum is still zeros."""
    model = identifier(program.name)
    return Manifest(
        format=FORMAT,
        checksum=_ZEROS,
        model=program.name,
        prefix=model,
        abi=ABI,
        build_id=build_id.hex(),
        versions=_versions(),
        target=program.target,
        cpu_features=cpu_features,
        inputs=tuple(_tensor(program.buffers[name]) for name in program.inputs),
        outputs=tuple(_tensor(program.buffers[name]) for name in program.outputs),
        structure=structure,
        sizes=SizesEntry(
            arena=program.arena_bytes,
            scratch=program.scratch_bytes,
            weights=program.weight_bytes,
            library=_library_bytes(files),
        ),
        kernels=tuple(_kernel(program, model, symbol) for symbol in program.kernels),
        leftovers=program.leftovers,
        files=files,
    )


def dump(manifest: Manifest) -> bytes:
    """JSON whose ``checksum`` is the SHA-256 of the same bytes with 64 zeros in its place."""
    fields = manifest.model_dump(mode="json") | {
        "checksum": _ZEROS,
        "target": asdict(manifest.target),
    }
    text = json.dumps(fields, indent=2) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(_ZEROS, digest, 1).encode()


def parse(data: bytes) -> Manifest:
    """Read what `dump` wrote; `BundleError` when any byte of it has changed since."""
    try:
        text = data.decode()
        found = _CHECKSUM.search(text)
        if found is None:
            raise BundleError(f"{NAME} is damaged: it has no checksum. Write the bundle again.")
        zeroed = text[: found.start(1)] + _ZEROS + text[found.end(1) :]
        if hashlib.sha256(zeroed.encode()).hexdigest() != found[1]:
            raise BundleError(
                f"{NAME} is damaged: its checksum does not match. Write the bundle again."
            )
        return Manifest.model_validate_json(text)
    except UnicodeDecodeError as error:
        raise BundleError(f"{NAME} is damaged: it is not text. Write the bundle again.") from error
    except ValidationError as error:
        raise BundleError(
            f"{NAME} is not of format {FORMAT}, the one this version of efcompile reads: {error}"
        ) from error


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a source tree that is not installed
            found[package] = "unknown"
    return found


def _tensor(buffer: Buffer) -> TensorEntry:
    return TensorEntry(
        name=buffer.name,
        dtype=buffer.dtype,
        layout=layout(buffer.shape),
        dims=buffer.shape,
        bytes=buffer.bytes,
    )


def _kernel(program: Program, model: str, symbol: str) -> KernelEntry:
    calls = [call for call in program.calls if call.symbol == symbol]
    return KernelEntry(
        name=program.kernels[symbol].kernel,
        symbol=kernel_symbol(model, symbol),
        calls=len(calls),
        flops=sum(call.flops for call in calls),
        bytes=sum(call.bytes for call in calls),
        sources=tuple(dict.fromkeys(source for call in calls for source in call.sources)),
    )


def _library_bytes(files: dict[str, FileEntry]) -> int:
    for suffix in (".so", ".a", ".o"):
        sizes = [entry.bytes for name, entry in files.items() if name.endswith(suffix)]
        if sizes:
            return max(sizes)
    return files["bench"].bytes if "bench" in files else 0
