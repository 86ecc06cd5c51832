"""What is read from `/proc/cpuinfo` and sysfs."""

import os
from pathlib import Path

import pytest

from efcompile.targets.cpus import CPUS
from efcompile.targets.host import (
    adds_beside,
    caches_of,
    cpu_name,
    cpu_of,
    detect_host,
    made_by,
    missing_features,
)
from efcompile.targets.resolve import resolve

AVX2 = "processor\t: 0\nflags\t\t: fpu sse2 avx avx2 fma f16c bmi2\n"
AVX512 = AVX2.strip() + " avx512f avx512dq avx512cd avx512bw avx512vl\n"
PI5 = "Features\t: fp asimd atomics asimdhp asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"
PHONE = (
    "Features\t: fp asimd asimdhp asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n"
    "Features\t: fp asimd asimdhp asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd44\n"
)
AMD_ID, INTEL_ID = "AuthenticAMD", "GenuineIntel"
AMD = f"processor\t: 0\nvendor_id\t: {AMD_ID}\ncpu family\t: 26\n"
INTEL = f"processor\t: 0\nvendor_id\t: {INTEL_ID}\ncpu family\t: 6\n"
EMULATED = "Features\t: fp asimd\nCPU implementer\t: 0x00\nCPU part\t: 0x051\n"


def test_this_machine() -> None:
    host = detect_host()
    assert host.os == "linux"
    assert host.cores == len(os.sched_getaffinity(0))
    assert 8 * 1024 <= host.l1_bytes <= host.l2_bytes <= host.llc_bytes
    assert missing_features(host) == ()


def test_x86_level_follows_the_flags() -> None:
    assert cpu_of("x86_64", AVX2) == ("x86-64-v3", ("avx2", "fma"))
    cpu, features = cpu_of("x86_64", AVX512)
    assert cpu == "x86-64-v4"
    assert features == CPUS[cpu].features


def test_half_an_avx512_is_not_used() -> None:
    cpu, features = cpu_of("x86_64", AVX2.strip() + " avx512f\n")
    assert (cpu, features) == ("x86-64-v3", ("avx2", "fma"))


def test_a_machine_without_fma_shows_what_it_lacks() -> None:
    assert cpu_of("x86_64", AVX2.replace(" fma", "")) == ("x86-64-v3", ("avx2",))


@pytest.mark.parametrize(
    ("vendor", "family", "beside"),
    [("AuthenticAMD", 26, True), ("AuthenticAMD", 23, True), ("AuthenticAMD", 21, False),
     ("GenuineIntel", 26, False)],
)  # fmt: skip
def test_zen_cores_add_beside_multiplying(vendor: str, family: int, beside: bool) -> None:
    text = f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: 2\n"
    assert adds_beside(text) == beside


def test_who_does_not_tell_adds_nothing_beside() -> None:
    assert not adds_beside(AVX512) and not adds_beside(PI5)


@pytest.mark.parametrize(("text", "maker"), [(AMD, AMD_ID), (INTEL, INTEL_ID), (PI5, "")])
def test_vendors_are_told_apart(text: str, maker: str) -> None:
    assert {vendor for vendor in (AMD_ID, INTEL_ID) if made_by(text, vendor)} == {maker} - {""}


def test_this_machine_has_what_its_vendor_gains_by() -> None:
    text, host = Path("/proc/cpuinfo").read_text(), detect_host()
    assert host.strassen == adds_beside(text)
    assert host.ask_l2 == made_by(text, INTEL_ID)


def test_arm_cores_by_part_number() -> None:
    assert cpu_of("aarch64", PI5) == ("cortex-a76", ("neon", "fullfp16", "dotprod"))
    assert cpu_of("aarch64", PHONE)[0] == "cortex-x1"
    assert cpu_of("aarch64", EMULATED) == ("generic", ("neon",))


def test_a_core_whose_features_are_hidden_is_generic() -> None:
    assert cpu_of("aarch64", PI5.replace(" asimddp", ""))[0] == "generic"


def _cache(directory: Path, index: int, level: int, kind: str, size: str, shared: str) -> None:
    entry = directory / f"index{index}"
    entry.mkdir()
    for name, text in (
        ("level", str(level)),
        ("type", kind),
        ("size", size),
        ("shared_cpu_list", shared),
    ):
        (entry / name).write_text(text + "\n")


def test_shared_l2_is_divided_by_cores_not_by_threads(tmp_path: Path) -> None:
    _cache(tmp_path, 0, 1, "Data", "48K", "0,4")
    _cache(tmp_path, 1, 1, "Instruction", "32K", "0,4")
    _cache(tmp_path, 2, 2, "Unified", "2M", "0-1,4-5")
    _cache(tmp_path, 3, 3, "Unified", "32768K", "0-7")
    caches = caches_of(tmp_path, "x86-64-v3")
    assert (caches.l1_bytes, caches.l2_bytes, caches.llc_bytes) == (48 << 10, 1 << 20, 32 << 20)


def test_a_chip_without_third_level(tmp_path: Path) -> None:
    _cache(tmp_path, 0, 1, "Data", "32K", "0")
    _cache(tmp_path, 1, 2, "Unified", "1024K", "0")
    assert caches_of(tmp_path, "cortex-a72").llc_bytes == 1 << 20


def test_hidden_sysfs_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: 0)
    caches = caches_of(tmp_path / "absent", "cortex-a76")
    row = CPUS["cortex-a76"]
    assert (caches.l1_bytes, caches.l2_bytes, caches.llc_bytes) == (
        row.l1_bytes,
        row.l2_bytes,
        row.llc_bytes,
    )


def test_missing_features_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: AVX2)
    wide = resolve("x86_64-linux-gnu", cpu="x86-64-v4")
    assert missing_features(wide) == tuple(f for f in wide.features if f.startswith("avx512"))


def test_cpu_names() -> None:
    assert cpu_name("processor\t: 0\nmodel name\t: AMD EPYC\n") == "AMD EPYC"
    assert cpu_name("processor\t: 0\nCPU part\t: 0xd0b\n") == "0xd0b"
