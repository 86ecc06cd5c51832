import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from typing import Any

import pytest

from efcompile import tvm_api
from efcompile.errors import TargetError, ToolchainError
from efcompile.kernels.emit import Emitter, float32
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target


@pytest.fixture
def arm64() -> Target:
    return resolve("arm64")


def test_the_installed_pair_is_the_pinned_one() -> None:
    tvm_api.check_versions()


@pytest.mark.parametrize("found", ["0.1.15", None])
def test_another_pair_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, found: str | None
) -> None:
    def version(package: str) -> str:
        if package != "apache-tvm-ffi":
            return tvm_api.PINS[package]
        if found is None:
            raise metadata.PackageNotFoundError(package)
        return found

    monkeypatch.setattr(metadata, "version", version)
    wanted = (
        rf"apache-tvm-ffi {found or 'not installed'}: run `pip install "
        rf"apache-tvm=={tvm_api.PINS['apache-tvm']} "
        rf"apache-tvm-ffi=={tvm_api.PINS['apache-tvm-ffi']}`"
    )
    with pytest.raises(ToolchainError, match=wanted):
        tvm_api.check_versions()


def test_a_target_becomes_tvms_dictionary(arm64: Target) -> None:
    made = tvm_api.tvm_target(arm64)
    assert made["kind"] == "llvm"
    assert (made["mtriple"], made["mcpu"]) == (arm64.triple, arm64.cpu)
    assert made["mattr"] == [f"+{feature}" for feature in arm64.features]
    assert made["num-cores"] == arm64.cores


def test_a_cpu_llvm_does_not_know_is_refused(arm64: Target) -> None:
    with pytest.raises(TargetError, match="LLVM knows no cpu 'cortex-z9'"):
        tvm_api.tvm_target(replace(arm64, cpu="cortex-z9"))


def test_enabled_features_are_those_listed_and_the_cpus(arm64: Target) -> None:
    enabled = tvm_api.enabled_features(arm64)
    assert set(arm64.features) <= enabled
    assert "rdm" in enabled  # of every ARMv8.1 core, without being listed


_SERIALISE = """
import hashlib
from efcompile.kernels.emit import Emitter, float32
from efcompile.tvm_api import serialise
e = Emitter()
x, out = e.pointer("x"), e.pointer("out")
e.integer("begin")
with e.loop(8, "i") as i:
    e.store(out, i * 4, e.load(x, i * 4, 4) * float32(0.1, 4), 4)
print(hashlib.sha256(serialise(e.finish("kernel")).encode()).hexdigest())
"""


def test_a_function_is_the_same_text_in_every_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _SERIALISE],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1 and len(digests.pop()) == 65


def _scaled(factor: float, symbol: str = "scaled") -> Any:
    e = Emitter()
    x = e.pointer("x")
    e.integer("begin")
    e.store(x, 0, e.load(x, 0) * float32(factor))
    return e.finish(symbol)


def test_other_numbers_and_names_are_another_text() -> None:
    texts = [
        tvm_api.serialise(function)
        for function in (
            _scaled(0.1),
            _scaled(0.1),
            _scaled(0.1 + 1e-8),
            _scaled(-0.0),
            _scaled(0.0),
            _scaled(0.1, "other"),
        )
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 5


def test_the_recipe_names_what_code_depends_on(
    arm64: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tvm_api.object_recipe(arm64)
    assert tvm_api.object_recipe(replace(arm64, name="other", l2_bytes=1)) == recipe
    assert tvm_api.object_recipe(replace(arm64, cpu="cortex-a55")) != recipe
    assert tvm_api.object_recipe(replace(arm64, features=())) != recipe
    versions = {"apache-tvm": "0.27.0.post2", "apache-tvm-ffi": "0.1.14.post1"}
    monkeypatch.setattr(tvm_api, "installed_versions", lambda: versions)
    assert tvm_api.object_recipe(arm64) != recipe


def test_objects_built_side_by_side_are_those_built_alone(arm64: Target) -> None:
    functions = [_scaled(float(factor)) for factor in range(24)]
    alone = [tvm_api.build_object([function], arm64) for function in functions]
    with ThreadPoolExecutor(8) as pool:
        built = pool.map(lambda function: tvm_api.build_object([function], arm64), functions)
        assert list(built) == alone
    assert len(set(alone)) == 24


def test_other_names_are_no_part_of_it() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'relay'"):
        _ = tvm_api.relay


@pytest.mark.parametrize("cpu", ["x86-64-v3", "x86-64-v4"])
def test_x86_functions_can_align_the_vectors_they_spill(cpu: str) -> None:
    code = tvm_api.build_object([_scaled(2.0)], resolve("host", cpu=cpu))
    push_rbp, keep_the_stack = b"\x55", b"\x48\x89\xe5"
    assert push_rbp + keep_the_stack in code
