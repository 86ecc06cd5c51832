import struct
from dataclasses import replace

import numpy as np
import pytest

from efcompile.bundle.weights import build_id, constant_bytes, weights_file
from efcompile.errors import BundleError
from tests.bundle.programs import tiny_program


def test_constants_lie_at_their_offsets_behind_the_header() -> None:
    program = tiny_program()
    data = weights_file(constant_bytes(program), bytes(range(32)))
    assert struct.unpack_from("<8sIIQ32s", data) == (
        b"EFWEIGHT",
        1,
        64,
        len(data),
        bytes(range(32)),
    )
    for name, value in program.constants.items():
        at = 64 + program.buffers[name].offset
        found = np.frombuffer(data, value.dtype, value.size, at).reshape(value.shape)
        np.testing.assert_array_equal(found, value)


def test_constants_of_any_strides_are_written_in_order() -> None:
    program = tiny_program()
    strided = program.constants["w"].transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)
    assert not strided.flags.c_contiguous
    other = replace(program, constants=program.constants | {"w": strided})
    assert constant_bytes(other) == constant_bytes(program)


def test_a_constant_that_does_not_fit_its_buffer_is_refused() -> None:
    program = tiny_program()
    wrong = replace(program, constants={"w": program.constants["w"].astype(np.float16)})
    with pytest.raises(BundleError, match=r"'w' .* is float16 with 3072 bytes.*6144"):
        constant_bytes(wrong)


def test_build_id_follows_constants_code_and_calls() -> None:
    program = tiny_program()
    constants = constant_bytes(program)
    first = build_id(program, b"code", constants)
    assert len(first) == 32
    assert build_id(tiny_program(), b"code", constants) == first
    others = [
        build_id(program, b"code", constant_bytes(tiny_program(factor=3))),
        build_id(program, b"c0de", constants),
        build_id(replace(program, calls=program.calls[:2]), b"code", constants),
        build_id(replace(program, name="other"), b"code", constants),
    ]
    assert len({first, *others}) == 5
