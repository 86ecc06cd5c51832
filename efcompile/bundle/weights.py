"""`weights.bin`: a 64-byte header, then the constants at their offsets; and the build id."""

import hashlib
import json
import struct
from dataclasses import asdict
from typing import Any

import numpy as np

from efcompile.bundle.abi import ABI, HEADER_BYTES
from efcompile.errors import BundleError
from efcompile.lowering.program import ALIGNMENT, Program

MAGIC = b"EFWEIGHT"


def constant_bytes(program: Program) -> bytes:
    """Every constant at its offset, zeros between; `weight_bytes` rounded up to `ALIGNMENT`."""
    data = bytearray(-(-program.weight_bytes // ALIGNMENT) * ALIGNMENT)
    for name, value in program.constants.items():
        buffer = program.buffers[name]
        if value.nbytes != buffer.bytes or value.dtype != np.dtype(buffer.dtype):
            raise BundleError(
                f"constant {name!r} of {program.name!r} is {value.dtype} with {value.nbytes} "
                f"bytes, but its buffer is {buffer.dtype} with {buffer.bytes}"
            )
        contiguous = np.ascontiguousarray(value)
        data[buffer.offset : buffer.offset + buffer.bytes] = contiguous.tobytes()
    return bytes(data)


def build_id(program: Program, code: bytes, constants: bytes) -> bytes:
    """32 bytes that differ whenever tables, code, constants or the interface do."""
    tables: dict[str, Any] = {
        "abi": ABI,
        "name": program.name,
        "target": asdict(program.target),
        "buffers": [asdict(buffer) for buffer in program.buffers.values()],
        "calls": [asdict(call) for call in program.calls],
        "inputs": program.inputs,
        "outputs": program.outputs,
        "arena": [program.arena_bytes, program.scratch_bytes],
    }
    digest = hashlib.sha256(json.dumps(tables, sort_keys=True).encode())
    digest.update(code)
    digest.update(constants)
    return digest.digest()


def weights_file(constants: bytes, build: bytes) -> bytes:
    """The whole of ``weights.bin``."""
    total = HEADER_BYTES + len(constants)
    return struct.pack("<8sIIQ32s8x", MAGIC, ABI, HEADER_BYTES, total, build) + constants
