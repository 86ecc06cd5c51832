import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.errors import BundleError, DeviceError, InputError
from tests.bundle.programs import HOST, SHAPE, expected, sample, tiny_program, with_features


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 32])
def test_results_are_exact_on_any_number_of_threads(host_library: Library, threads: int) -> None:
    for seed in range(3):
        x = sample(seed)
        for found, wanted in zip(
            host_library.run([x], threads), expected(tiny_program(), x), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


def test_calls_from_several_threads_do_not_meet(host_library: Library) -> None:
    def task(seed: int) -> bool:
        x = sample(seed)
        wanted = expected(tiny_program(), x)
        return all(
            np.array_equal(found, want)
            for _ in range(50)
            for found, want in zip(host_library.run([x]), wanted, strict=True)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(task, range(8)))


def test_inputs_of_any_strides_and_alignment_fit(host_library: Library) -> None:
    x = sample()
    wanted = expected(tiny_program(), x)[1]
    strided = x.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)
    skewed = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(SHAPE)
    element = np.empty(x.size + 1, np.float32)[1:].reshape(SHAPE)
    element[:] = x
    assert not skewed.flags.aligned
    for given in (strided, skewed, element):
        np.testing.assert_array_equal(host_library.run([given])[1], wanted)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_profile_has_a_time_for_every_call(
    host_library: Library, threads: int, repeats: int
) -> None:
    times = host_library.profile([sample()], threads, repeats=repeats)
    assert times.shape == (len(tiny_program().calls),)
    assert (times > 0).all()


def test_a_profile_refuses_what_a_run_does(host_library: Library) -> None:
    with pytest.raises(InputError, match="takes 1 inputs, not 0"):
        host_library.profile([])
    with pytest.raises(InputError, match="repeats must be at least 1, not 0"):
        host_library.profile([sample()], repeats=0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "takes 1 inputs, not 0"),
        ([sample().astype(np.float64)], "must be float32 of shape .* not float64"),
        ([sample().astype(np.int64)], "not int64"),
        ([sample()[:, :3]], r"not float32 of shape \[1, 3, 8, 8\]"),
        ([sample().astype(">f4")], "not >f4"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    host_library: Library, inputs: list[np.ndarray], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        host_library.run(inputs)


def test_numbers_of_threads_that_cannot_be_are_refused(host_library: Library) -> None:
    with pytest.raises(InputError, match="at least 1, not 0"):
        host_library.run([sample()], 0)
    with pytest.raises(DeviceError, match="cannot start 1000 threads"):
        host_library.run([sample()], 1000)


def test_weights_of_another_build_are_refused(tmp_path: Path, host_bundle: Bundle) -> None:
    other = write_bundle(tiny_program(factor=3), tmp_path, parts=["shared"])
    swapped = Path(shutil.copytree(host_bundle.path, tmp_path / "swapped"))
    shutil.copy(other / "weights.bin", swapped / "weights.bin")
    with pytest.raises(BundleError, match=r"weights\.bin is of another build"):
        Library(replace(host_bundle, path=swapped))


def test_a_cpu_that_lacks_features_is_refused(tmp_path: Path) -> None:
    # No CPU has both AMD's abandoned extensions and Intel's tiles; none has sm4 and is x86.
    lacking = ("xop", "fma4", "amx-tile") if HOST.arch == "x86_64" else ("sve2", "sm4", "i8mm")
    program = tiny_program(target=with_features(HOST, *lacking))
    bundle = load_bundle(write_bundle(program, tmp_path, parts=["shared"]))
    with pytest.raises(BundleError, match=rf"{lacking[0]}.* lacks some.*device=\"qemu\""):
        Library(bundle)


def test_another_architecture_is_refused(arm64_bundle: Bundle, host_bundle: Bundle) -> None:
    foreign = arm64_bundle if HOST.arch == "x86_64" else host_bundle
    with pytest.raises(BundleError, match=r'compiled\.run\(x, device="qemu"\)'):
        Library(foreign)


def test_a_bundle_without_library_is_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tiny_program(), tmp_path, parts=["archive"]))
    with pytest.raises(BundleError, match=r"has no libtiny\.so"):
        Library(bundle)


def test_pools_end_with_the_library(host_bundle: Bundle) -> None:
    def threads_here() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads_here()
    library = Library(host_bundle, 4)
    library.run([sample()])
    assert threads_here() == before + 3
    del library
    assert threads_here() == before


def test_running_needs_no_tvm(host_bundle: Bundle) -> None:
    program = (
        "import sys, pathlib, numpy as np\n"
        "from efcompile.bundle.load import load_bundle\n"
        "from efcompile.bundle.library import Library\n"
        "library = Library(load_bundle(pathlib.Path(sys.argv[1])), 2)\n"
        f"library.run([np.zeros({SHAPE}, np.float32)])\n"
        "assert 'tvm' not in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, host_bundle.path], check=True)


def test_a_bundle_that_replaced_another_is_loaded_itself(tmp_path: Path) -> None:
    """The system's loader knows the first library by the path that both have."""
    program = tiny_program()
    x = sample()
    first = Library(load_bundle(write_bundle(program, tmp_path, parts=["shared"])), 1)
    np.testing.assert_array_equal(first.run([x])[1], expected(program, x)[1])
    changed = tiny_program(factor=3.0)
    second = Library(load_bundle(write_bundle(changed, tmp_path, parts=["shared"])), 1)
    assert second.bundle.path == first.bundle.path
    np.testing.assert_array_equal(second.run([x])[1], expected(changed, x)[1])
    np.testing.assert_array_equal(first.run([x])[1], expected(program, x)[1])
