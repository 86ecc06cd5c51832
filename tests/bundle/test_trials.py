"""Linking batches of trials, for this machine and others."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle import trials as linking
from efcompile.bundle.toolchain import Toolchain
from efcompile.bundle.trials import (
    TrialSettings,
    entry_settings,
    link_trial_library,
    link_trials,
    program_options,
)
from efcompile.errors import BundleError
from tests.bundle.binaries import elf_symbols, linked
from tests.bundle.programs import HOST, target_named
from tests.bundle.trials import c_trial, gemm_trial, given, result

ONES = np.ones(16, np.float32)


def test_equal_symbols_of_different_code_are_kept_apart(tmp_path: Path) -> None:
    trials = [
        c_trial(
            tmp_path,
            f"by{factor}",
            f"for (int i = 0; i < 16; ++i) p1[i] = {factor} * p0[i];",
            given(ONES),
            result(factor * ONES),
        )
        for factor in (2, 3, 2)
    ]
    folder = tmp_path / "linked"
    folder.mkdir()
    program = link_trials(trials, HOST, folder)
    said = subprocess.run(
        [program.executable, program.blob, "--untimed"], capture_output=True, text=True, check=True
    )
    assert said.stdout.count('"error": 0') == 3
    # The third is the first over again.
    assert len(list(folder.glob("ef_k*.o"))) == 2


def test_one_kernel_has_one_number_of_arrays(tmp_path: Path) -> None:
    trial = c_trial(tmp_path, "one", "", result(ONES))
    step = trial.steps[0]
    crooked = replace(trial, steps=(step, replace(step, args=(0, 0))))
    (tmp_path / "linked").mkdir()
    with pytest.raises(BundleError, match="with 2 arrays and with 1"):
        link_trials([crooked], HOST, tmp_path / "linked")


def test_what_is_the_same_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = c_trial(tmp_path, "one", "", result(ONES))
    compiled: list[str] = []
    compile_one = Toolchain.compile

    def watched(self: Toolchain, source: Path, output: Path, include: list[Path]) -> Path:
        compiled.append(source.name)
        return compile_one(self, source, output, include)

    monkeypatch.setattr(Toolchain, "compile", watched)
    linking._compiled.cache_clear()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        link_trials([trial], HOST, tmp_path / name)
    assert compiled.count("ef_trial.c") == 1
    assert compiled.count("ef_trial_table.c") == 2


def test_a_library_exports_its_entry_and_the_pool(tmp_path: Path) -> None:
    trial = c_trial(tmp_path, "one", "", result(ONES))
    (tmp_path / "linked").mkdir()
    library = link_trial_library([trial], HOST, tmp_path / "linked").library
    symbols = elf_symbols(library, ".dynsym")
    assert {symbol.name for symbol in symbols if symbol.defined} == {
        "__tvm_ffi_efcompile_trial",
        "ef_pool_create",
        "ef_pool_destroy",
    }


def test_android_libraries_need_bionic_alone(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    target = target_named("aarch64-linux-android")
    (tmp_path / "linked").mkdir()
    library = link_trial_library([gemm_trial(target, tmp_path)], target, tmp_path / "linked")
    assert set(linked(library.library).needed) <= {"libc.so", "libm.so"}


def test_apples_targets_are_refused(tmp_path: Path) -> None:
    iphone = target_named("iphone12")
    for link in (link_trials, link_trial_library):
        with pytest.raises(BundleError, match="Apple's own linker"):
            link([], iphone, tmp_path)


def test_settings_reach_the_program_and_the_entry() -> None:
    settings = TrialSettings(
        threads=2, seconds=0.25, least=9, warmup=3, rotate_bytes=1 << 20, cores="1"
    )
    assert list(entry_settings(settings)) == [3, 250_000_000, 9, 1 << 20, 2]
    words = "--warmup 3 --seconds 0.250000000 --least 9 --rotate 1048576 --threads 2"
    assert program_options(settings, None) == words.split()
    assert program_options(settings, "4-5") == [*words.split(), "--cores", "4-5"]
