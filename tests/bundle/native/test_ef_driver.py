import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efcompile.bundle.abi import HEADER_BYTES, STATUSES
from efcompile.bundle.build import build
from efcompile.bundle.load import Bundle
from efcompile.bundle.memory import mapped, zeroed
from efcompile.bundle.render import NATIVE
from efcompile.lowering.program import Program
from tests.bundle.native.programs import HERE, SANITIZERS, compile_c, run_program
from tests.bundle.programs import expected, sample, tiny_program


@dataclass
class Arguments:
    """What a test may change of a good call of ``tiny_run``."""

    weights: Any
    arena: Any
    inputs: list[Any]
    outputs: list[Any]
    weight_bytes: int
    arena_bytes: int
    pool: Any = None


@dataclass(frozen=True)
class Native:
    """The library, with raw addresses as arguments."""

    library: ctypes.CDLL
    bundle: Bundle

    def good(self) -> Arguments:
        arena_bytes = self.library.tiny_arena_bytes(1)
        weights = mapped(self.bundle.file("weights.bin")).copy()
        aligned = zeroed(weights.nbytes)
        aligned[:] = weights
        x, outputs = sample(), [np.empty_like(sample()) for _ in range(2)]
        return Arguments(aligned, zeroed(arena_bytes), [x], outputs, weights.nbytes, arena_bytes)

    def run(self, a: Arguments) -> str:
        return self._call(self.library.tiny_run, a)

    def profile(self, a: Arguments, repeats: int, ns: Any, count: int) -> str:
        address = None if ns is None else ctypes.c_void_p(ns.ctypes.data)
        return self._call(self.library.tiny_profile, a, repeats, address, count)

    def _call(self, function: Any, a: Arguments, *more: Any) -> str:
        def address(value: Any) -> Any:
            return value.ctypes.data if isinstance(value, np.ndarray) else value

        def pointers(values: list[Any]) -> Any:
            return (ctypes.c_void_p * len(values))(*map(address, values))

        status = function(
            ctypes.c_void_p(address(a.weights)),
            ctypes.c_size_t(a.weight_bytes),
            ctypes.c_void_p(address(a.arena)),
            ctypes.c_size_t(a.arena_bytes),
            pointers(a.inputs),
            pointers(a.outputs),
            ctypes.c_void_p(a.pool),
            *more,
        )
        return STATUSES[status]


@pytest.fixture(scope="module")
def native(host_bundle: Bundle) -> Native:
    library = ctypes.CDLL(str(host_bundle.file("libtiny.so")))
    library.tiny_arena_bytes.restype = ctypes.c_size_t
    return Native(library, host_bundle)


def test_a_good_call_is_ok(native: Native) -> None:
    arguments = native.good()
    assert native.run(arguments) == "EF_OK"
    wanted = expected(tiny_program(), arguments.inputs[0])
    np.testing.assert_array_equal(arguments.outputs, wanted)


def _set(name: str, value: Any) -> Callable[[Arguments], None]:
    return lambda a: setattr(a, name, value)


def _shift(name: str, by: int) -> Callable[[Arguments], None]:
    return lambda a: setattr(a, name, getattr(a, name).ctypes.data + by)


def _shift_tensor(name: str, by: int) -> Callable[[Arguments], None]:
    return lambda a: getattr(a, name).__setitem__(0, getattr(a, name)[0].ctypes.data + by)


def _poke(position: int) -> Callable[[Arguments], None]:
    return lambda a: a.weights.__setitem__(position, a.weights[position] ^ 1)


BAD: dict[str, tuple[Callable[[Arguments], None], str]] = {
    "no weights": (_set("weights", None), "EF_BAD_ARG"),
    "no arena": (_set("arena", None), "EF_BAD_ARG"),
    "no input": (_set("inputs", [None]), "EF_BAD_ARG"),
    "no output": (_set("outputs", [None, None]), "EF_BAD_ARG"),
    "weights misaligned": (_shift("weights", 32), "EF_BAD_ALIGN"),
    "arena misaligned": (_shift("arena", 32), "EF_BAD_ALIGN"),
    "input misaligned": (_shift_tensor("inputs", 2), "EF_BAD_ALIGN"),
    "output misaligned": (_shift_tensor("outputs", 1), "EF_BAD_ALIGN"),
    "magic": (_poke(0), "EF_BAD_WEIGHTS"),
    "weights of another interface": (_poke(8), "EF_BAD_ABI"),
    "size in the header": (_poke(16), "EF_BAD_WEIGHTS"),
    "first byte of the build id": (_poke(24), "EF_BAD_WEIGHTS"),
    "last byte of the build id": (_poke(55), "EF_BAD_WEIGHTS"),
    "no header": (_set("weight_bytes", HEADER_BYTES - 1), "EF_BAD_WEIGHTS"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_argument_is_refused(native: Native, case: str) -> None:
    arguments = native.good()
    change, status = BAD[case]
    change(arguments)
    assert native.run(arguments) == status
    assert native.profile(arguments, 1, np.zeros(3, np.uint64), 3) == status


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_profile_computes_the_same_and_times_every_call(native: Native, repeats: int) -> None:
    arguments = native.good()
    ns = np.zeros(4, np.uint64)
    assert native.profile(arguments, repeats, ns, 3) == "EF_OK"
    wanted = expected(tiny_program(), arguments.inputs[0])
    np.testing.assert_array_equal(arguments.outputs, wanted)
    assert (ns[:3] > 0).all()
    assert ns[3] == 0


@pytest.mark.parametrize(
    ("repeats", "ns", "count"),
    [(0, np.zeros(3), 3), (1, None, 3), (1, np.zeros(2), 2), (1, np.zeros(4), 4)],
)
def test_a_profile_without_room_for_every_call_is_refused(
    native: Native, repeats: int, ns: Any, count: int
) -> None:
    assert native.profile(native.good(), repeats, ns, count) == "EF_BAD_ARG"


@pytest.mark.parametrize("by", [-64, -1, 1])
def test_weights_of_another_size_are_refused(native: Native, by: int) -> None:
    arguments = native.good()
    arguments.weight_bytes += by
    assert native.run(arguments) == "EF_BAD_WEIGHTS"


def test_an_arena_one_byte_too_small_is_refused(native: Native) -> None:
    arguments = native.good()
    arguments.arena_bytes -= 1
    assert native.run(arguments) == "EF_ARENA_SMALL"


def test_tensors_need_only_their_elements_alignment(native: Native) -> None:
    arguments = native.good()
    x = arguments.inputs[0]
    room = np.zeros(x.size + 4, np.float32)
    start = (room.ctypes.data % 64 == 0) + 0
    arguments.inputs[0] = room[start : start + x.size]
    arguments.inputs[0][:] = x.ravel()
    assert arguments.inputs[0].ctypes.data % 64 != 0
    assert native.run(arguments) == "EF_OK"


def test_a_pool_of_another_interface_is_refused(native: Native) -> None:
    arguments = native.good()
    other = np.full(64, 99, np.uint32)
    arguments.pool = other.ctypes.data
    assert native.run(arguments) == "EF_BAD_ABI"


def test_arena_grows_with_the_threads_scratch(native: Native) -> None:
    sizes = [native.library.tiny_arena_bytes(threads) for threads in (1, 2, 3, 256)]
    scratch = tiny_program().scratch_bytes
    assert [size - sizes[0] for size in sizes] == [0, scratch, 2 * scratch, 255 * scratch]
    assert [native.library.tiny_arena_bytes(threads) for threads in (0, -1, 257)] == [0, 0, 0]


ALPHA, BETA = tiny_program("alpha"), tiny_program("beta", factor=5.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Scratch folders of both models, with their sources, objects and archives."""
    folders = {}
    for program in (ALPHA, BETA):
        folders[program.name] = tmp_path_factory.mktemp(program.name)
        build(program, folders[program.name], ["archive"])
    return folders


def _run_both(program: Path, models: dict[str, Path], folder: Path) -> None:
    """Run the linked program and compare both models' outputs with numpy."""
    x = sample()
    (folder / "input").write_bytes(x.tobytes())
    weights = [models[name] / "weights.bin" for name in ("alpha", "beta")]
    results = {"alpha": folder / "alpha.out", "beta": folder / "beta.out"}
    assert run_program(program, *weights, folder / "input", *results.values()) == "ok\n"
    both: list[Program] = [ALPHA, BETA]
    for model in both:
        found = np.fromfile(results[model.name], np.float32)
        np.testing.assert_array_equal(found, np.concatenate(expected(model, x)).ravel())


def test_two_archives_link_into_one_program(models: dict[str, Path], tmp_path: Path) -> None:
    archives = [folder / f"lib{name}.a" for name, folder in models.items()]
    headers = [f"-I{folder}" for folder in models.values()]
    program = compile_c([HERE / "two_models.c", *archives], tmp_path / "two", *headers)
    _run_both(program, models, tmp_path)


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_two_models_side_by_side_under(
    sanitizer: str, models: dict[str, Path], tmp_path: Path
) -> None:
    flags = SANITIZERS[sanitizer]
    drivers = [
        compile_c([NATIVE / "ef_driver.c"], tmp_path / f"{name}.o", "-c", f"-I{folder}", *flags)
        for name, folder in models.items()
    ]
    kernels = [path for folder in models.values() for path in sorted(folder.glob("*_k_*.o"))]
    sources = [HERE / "two_models.c", NATIVE / "ef_pool.c"]
    headers = [f"-I{folder}" for folder in models.values()]
    inputs = [*sources, *drivers, *kernels]
    program = compile_c(inputs, tmp_path / "two", *headers, *flags)
    _run_both(program, models, tmp_path)


def test_sanitizers_see_what_they_should(tmp_path: Path) -> None:
    """The checks above can fail: a planted race and a planted overflow are found."""
    source = tmp_path / "bad.c"
    source.write_text(
        "#include <pthread.h>\n#include <stdlib.h>\nstatic int shared;\n"
        "static void *add(void *p) { for (int i = 0; i < 9999; ++i) ++shared; return p; }\n"
        "int main(void) { pthread_t t; pthread_create(&t, 0, add, 0); add(0);\n"
        "  pthread_join(t, 0); volatile char *p = malloc(8); char c = p[8]; free((void *)p);\n"
        "  return c & 0; }\n"
    )
    for sanitizer, word in (("thread", "data race"), ("address", "heap-buffer-overflow")):
        program = compile_c([source], tmp_path / sanitizer, *SANITIZERS[sanitizer])
        with pytest.raises(AssertionError, match=word):
            run_program(program)
