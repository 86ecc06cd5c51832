"""`manifest.json`: what a bundle is, and a checksum of every file, itself included."""

import hashlib
import json
import re
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from efcompile.errors import BundleError
from efcompile.kernels.knob_source import Origin
from efcompile.kernels.work import Work
from efcompile.targets.target import Target

NAME = "manifest.json"
FORMAT: Literal[3] = 3
ZEROS = "0" * 64
"""The checksum of a manifest that was not written yet."""
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
    of the user's model that it computes.  `work` is what one call cannot do without, and `knobs`
    tells who chose its tiles: the kernel itself, tuning that ships with efcompile, or the records
    of the user's own, whose measurements are then in the bundle."""

    name: str
    symbol: str
    calls: int
    flops: int
    bytes: int
    sources: tuple[str, ...]
    work: Work
    knobs: Origin


class CallEntry(_Frozen):
    """A call, in the network's order: `kernel` is the position of its kernel in the manifest's
    list, `op` what it computes of the dialect.  `flops` and `bytes` are nominal; of the bytes
    that the kernel handles, `weight_bytes` are constants and `activation_bytes` all the rest,
    each byte once."""

    kernel: int
    op: str
    sources: tuple[str, ...]
    flops: int
    bytes: int
    weight_bytes: int
    activation_bytes: int


class PlanEntry(_Frozen):
    """A tensor in the arena, at `offset`: written by call `first`, needed until call `last`."""

    name: str
    offset: int
    bytes: int
    first: int
    last: int


class Manifest(_Frozen):
    """All that is known of a bundle without running it.  `structure` is how the outputs nest
    (a serialised pytree; empty: a flat list)."""

    format: Literal[3]
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
    calls: tuple[CallEntry, ...]
    plan: tuple[PlanEntry, ...]
    leftovers: tuple[str, ...]
    files: dict[str, FileEntry]

    @field_validator("files")
    @classmethod
    def _plain_names(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
                raise ValueError(f"{name!r} is not a plain file name")
        return files


def dump(manifest: Manifest) -> bytes:
    """JSON whose ``checksum`` is the SHA-256 of the same bytes with 64 zeros in its place."""
    fields = manifest.model_dump(mode="json") | {
        "checksum": ZEROS,
        "target": asdict(manifest.target),
    }
    text = _text(fields)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(ZEROS, digest, 1).encode()


def parse(data: bytes) -> Manifest:
    """Read what `dump` wrote; `BundleError` when any byte of it has changed since."""
    try:
        text = data.decode()
        found = _CHECKSUM.search(text)
        if found is None:
            raise BundleError(f"{NAME} is damaged: it has no checksum. Write the bundle again.")
        zeroed = text[: found.start(1)] + ZEROS + text[found.end(1) :]
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


def _text(fields: dict[str, Any]) -> str:
    """JSON with a line for each field, and for each entry of a list."""
    lines = ",\n".join(f'  "{name}": {_value(value)}' for name, value in fields.items())
    return f"{{\n{lines}\n}}\n"


def _value(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    entries = ",\n".join(f"    {json.dumps(entry)}" for entry in value)
    return f"[\n{entries}\n  ]"
