"""Whether two programs are the same: then they cost the same, and one measurement serves both."""

import hashlib

from efcompile.lowering.program import Program


def digest(program: Program) -> bytes:
    """32 bytes that are equal for programs that execute the same instructions on the same
    constants in the same places, whatever their buffers and modules are called."""
    found = hashlib.sha256()
    constants = program.constants
    described: dict[str, bytes] = {}
    for name, buffer in program.buffers.items():
        place = (buffer.kind, buffer.offset, buffer.shape, buffer.dtype)
        described[name] = repr(place).encode()
        if name in constants:
            described[name] += hashlib.sha256(constants[name].tobytes()).digest()
    for call in program.calls:
        # A symbol says the kernel, its shape and its knobs, or for leftovers the code.
        arguments = [described[name] for name in call.args]
        found.update(repr((call.symbol, call.tasks, arguments)).encode())
    boundary = [described[name] for name in (*program.inputs, *program.outputs)]
    found.update(repr((program.target, boundary, program.arena_bytes)).encode())
    return found.digest()
