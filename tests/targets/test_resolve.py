"""Names become targets; wrong names become helpful errors."""

import platform
from collections.abc import Iterator
from dataclasses import replace

import pytest

from efcompile.errors import TargetError
from efcompile.targets.aliases import ALIASES
from efcompile.targets.cpus import CPUS
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve


@pytest.mark.parametrize("name", ALIASES)
def test_every_alias_resolves_to_an_arm_target_of_its_name(name: str) -> None:
    target = resolve(name)
    assert target.name == name
    assert target.arch == "aarch64"
    assert (target.vector_bits, target.registers, target.lanes) == (128, 32, 4)
    assert target.l1_bytes <= target.l2_bytes <= target.llc_bytes


def test_design_facts_of_the_aliases() -> None:
    arm64 = resolve("arm64")
    assert (arm64.cpu, arm64.features) == ("cortex-a76", ("neon", "fullfp16", "dotprod"))
    assert (arm64.os, arm64.object_format) == ("linux", "elf")
    assert resolve("android").os == "android"
    assert resolve("raspberrypi5").l2_bytes == 2 * resolve("cortex-a76").l2_bytes
    for name, cpu in (("iphone12", "apple-a14"), ("iphone15", "apple-a16")):
        phone = resolve(name)
        assert (phone.cpu, phone.os, phone.object_format) == (cpu, "ios", "macho")


def test_cpu_replaces_the_core_and_its_caches() -> None:
    small = resolve("android", cpu="cortex-a55")
    assert (small.triple, small.cpu) == ("aarch64-linux-android", "cortex-a55")
    assert small.l1_bytes == CPUS["cortex-a55"].l1_bytes


def test_a_core_with_sve_gets_code_without_it() -> None:
    assert resolve("arm64", cpu="cortex-x4").cpu == "cortex-x1"


def test_features_replace_those_of_the_core() -> None:
    target = resolve("aarch64-linux-musl", cpu="generic", features=("neon", "dotprod"))
    assert target.features == ("neon", "dotprod")


def test_x86_vectors_follow_the_features() -> None:
    wide = resolve("x86_64-linux-gnu", cpu="skylake-avx512")
    narrow = resolve("x86_64-linux-gnu", cpu="skylake-avx512", features=("avx2", "fma"))
    assert (wide.vector_bits, wide.registers) == (512, 32)
    assert (narrow.vector_bits, narrow.registers) == (256, 16)


def test_a_bare_triple_gets_the_least_that_runs() -> None:
    assert resolve("x86_64-linux-gnu").cpu == "x86-64-v3"
    assert resolve("aarch64-linux-gnu").cpu == "generic"


def test_host_with_a_lower_level_keeps_this_machines_caches() -> None:
    host = resolve()
    cpu = "x86-64-v3" if host.arch == "x86_64" else "generic"
    lower = resolve("host", cpu=cpu)
    assert (lower.l1_bytes, lower.llc_bytes, lower.cores) == (
        host.l1_bytes,
        host.llc_bytes,
        host.cores,
    )


@pytest.mark.parametrize(
    ("name", "cpu", "features", "message"),
    [
        ("hsot", None, None, "unknown target `hsot`; did you mean `host`"),
        ("arm46", None, None, "did you mean `arm64`"),
        ("aarch64-windows", None, None, "no code is written for `aarch64-windows`"),
        ("x86_64-linux-android", None, None, "no code is written for"),
        ("arm64", "cortex-a67", None, "`cortex-a67` is unknown; did you mean"),
        ("arm64", "skylake", None, "`skylake` is not a core of aarch64"),
        ("arm64", None, ("neon", "dotprd"), "`dotprd` for aarch64; did you mean `dotprod`"),
        ("arm64", None, ("dotprod",), "missing: neon"),
        ("x86_64-linux-gnu", None, ("avx2",), "missing: fma"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(
    name: str, cpu: str | None, features: tuple[str, ...] | None, message: str
) -> None:
    with pytest.raises(TargetError, match=message):
        resolve(name, cpu=cpu, features=features)


@pytest.mark.parametrize(
    ("given", "triple"),
    [
        ("arm64-apple-ios", "aarch64-apple-ios16.0"),
        ("aarch64-apple-ios17.2", "aarch64-apple-ios17.2"),
        ("arm64-apple-macos", "aarch64-apple-macos13.0"),
        ("amd64-linux", "x86_64-linux-gnu"),
        ("aarch64-unknown-linux-musl", "aarch64-unknown-linux-musl"),
        ("aarch64-linux-android33", "aarch64-linux-android33"),
    ],
)
def test_triples_are_put_in_llvms_spelling(given: str, triple: str) -> None:
    assert resolve(given).triple == triple


@pytest.fixture
def undetected() -> Iterator[None]:
    """Detection starts afresh, and its result is forgotten afterwards."""
    detect_host.cache_clear()
    yield
    detect_host.cache_clear()


@pytest.mark.usefixtures("undetected")
def test_other_hosts_are_refused_but_may_be_asked_for_targets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(TargetError, match="only been tried on Linux"):
        resolve("host")
    assert resolve("arm64").os == "linux"


def test_compact_weights_keep_their_size() -> None:
    assert resolve("x86_64-linux-gnu").strassen and not resolve("arm64").strassen
    assert not resolve("x86_64-linux-gnu", compact=True).strassen
    assert not resolve("host", compact=True).strassen


def test_pairs_are_for_this_machine_with_wide_vectors() -> None:
    host = resolve("host")
    assert not host.pairs or host.vector_bits == 512
    assert not resolve("x86_64-linux-gnu", cpu="x86-64-v4").pairs
    if host.arch == "x86_64":
        assert not resolve("host", cpu="x86-64-v3").pairs
        assert resolve("host", cpu=host.cpu).pairs == host.pairs


@pytest.mark.usefixtures("undetected")
@pytest.mark.parametrize("gains", [True, False])
def test_less_of_this_machine_keeps_what_its_cores_gain_by(
    monkeypatch: pytest.MonkeyPatch, gains: bool
) -> None:
    host = replace(detect_host(), strassen=gains, ask_l2=gains)
    monkeypatch.setattr("efcompile.targets.resolve.detect_host", lambda: host)
    for target in (resolve("host"), resolve("host", cpu=host.cpu)):
        assert (target.strassen, target.ask_l2) == (gains, gains)
    assert not resolve("host", cpu=host.cpu, compact=True).strassen
    assert not resolve("x86_64-linux-gnu").ask_l2


def test_work_is_cut_for_no_more_cores_than_threads() -> None:
    whole = resolve("arm64").cores
    assert resolve("arm64", threads=1).cores == 1
    assert resolve("arm64", threads=whole + 1).cores == whole
    assert resolve("host", threads=1).cores == 1
