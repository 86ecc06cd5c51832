from dataclasses import replace
from importlib import metadata

import pytest

from efcompile import tvm_api
from efcompile.errors import TargetError, ToolchainError
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


def test_other_names_are_no_part_of_it() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'relay'"):
        _ = tvm_api.relay
