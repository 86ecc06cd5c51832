from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efcompile.bundle.abi import STATUSES
from efcompile.bundle.load import Bundle
from efcompile.bundle.memory import zeroed
from efcompile.bundle.render import write_sources
from tests.bundle.native.programs import HERE, compile_c
from tests.bundle.programs import SHAPE, expected, sample, tiny_program

tvm = pytest.importorskip("tvm")


@pytest.fixture(scope="module")
def module(host_bundle: Bundle) -> Any:
    """The shared library as TVM's own loader opens it."""
    return tvm.runtime.load_module(str(host_bundle.file("libtiny.so")))


def _tensor(array: np.ndarray) -> Any:
    return tvm.runtime.tensor(array)


@pytest.fixture
def arguments(host_bundle: Bundle) -> list[Any]:
    weights = np.fromfile(host_bundle.file("weights.bin"), np.uint8)
    arena = zeroed(1 << 16)
    outputs = [_tensor(np.zeros(SHAPE, np.float32)) for _ in range(2)]
    return [_tensor(weights), _tensor(arena), _tensor(sample()), *outputs]


def test_tvm_runs_it(module: Any, arguments: list[Any]) -> None:
    assert module["tiny_run"](*arguments) == 0
    for found, wanted in zip(arguments[3:], expected(tiny_program(), sample()), strict=True):
        np.testing.assert_array_equal(found.numpy(), wanted)


def test_tvm_times_it(module: Any, arguments: list[Any]) -> None:
    timer = module.time_evaluator("tiny_run", tvm.cpu(), number=10)
    assert timer(*arguments).mean > 0


def test_an_rpc_server_loads_and_times_it(host_bundle: Bundle, arguments: list[Any]) -> None:
    from tvm import rpc

    server = rpc.Server("127.0.0.1", port=9190, port_end=9290, silent=True)
    try:
        remote = rpc.connect("127.0.0.1", server.port, session_timeout=60)
        remote.upload(str(host_bundle.file("libtiny.so")))
        module = remote.load_module("libtiny.so")
        device = remote.cpu()
        there = [tvm.runtime.tensor(value.numpy(), device) for value in arguments]
        assert module["tiny_run"](*there) == 0
        assert module.time_evaluator("tiny_run", device, number=5)(*there).mean > 0
        wanted = expected(tiny_program(), sample())
        np.testing.assert_array_equal(there[3].numpy(), wanted[0])
    finally:
        server.terminate()


def test_bad_arguments_return_a_status(module: Any, arguments: list[Any]) -> None:
    run = module["tiny_run"]
    weights, arena, x, y, z = arguments
    short = _tensor(np.zeros((1, 2), np.float32))
    small = _tensor(np.zeros(64, np.uint8))
    assert STATUSES[run(weights, arena, x, y)] == "EF_BAD_ARG"
    assert STATUSES[run(weights, arena, x, y, 1)] == "EF_BAD_ARG"
    assert STATUSES[run(weights, arena, short, y, z)] == "EF_BAD_ARG"
    assert STATUSES[run(weights, small, x, y, z)] == "EF_ARENA_SMALL"
    assert STATUSES[run(small, arena, x, y, z)] == "EF_BAD_WEIGHTS"


def test_its_structures_are_tvms(tmp_path: Path) -> None:
    from tvm_ffi import libinfo

    program = tiny_program()
    sizes = dict.fromkeys((f"tiny_k_{symbol}" for symbol in program.kernels), 0)
    write_sources(program, bytes(32), 0, (), tmp_path, sizes)
    theirs = [libinfo.find_include_path(), libinfo.find_dlpack_include_path()]
    folders = [f"-I{folder}" for folder in (*theirs, tmp_path)]
    compile_c([HERE / "ffi_layout.c"], tmp_path / "layout.o", "-c", *folders)
