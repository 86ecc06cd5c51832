"""The probe says what a machine is: run here, under emulation, and in TVM's loader."""

import os
import shutil
import subprocess
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from efcompile.devices.emulator import emulate
from efcompile.devices.probe import (
    CAPACITY,
    FUNCTION,
    build_probe_library,
    build_probe_program,
    read_machine,
)
from efcompile.errors import DeviceError
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve

needs_zig = pytest.mark.skipif(not find_spec("ziglang"), reason="pip install 'efcompile[cross]'")
needs_qemu = pytest.mark.skipif(
    not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user"
)


def test_this_machine(tmp_path: Path) -> None:
    program = build_probe_program(detect_host(), tmp_path)
    said = subprocess.run([program, tmp_path], capture_output=True, text=True, check=True)
    machine = read_machine(said.stdout)
    assert machine.arch == os.uname().machine
    assert machine.system == f"Linux {os.uname().release}"
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.01)
    assert (machine.lacks, machine.libraries, machine.ffi) == ((), (), "")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    program = build_probe_program(detect_host(), tmp_path)
    said = subprocess.run([program, tmp_path / "absent"], capture_output=True, text=True)
    assert said.returncode == 1 and "No such file" in said.stderr


@needs_zig
@needs_qemu
@pytest.mark.parametrize(("cpu", "lacks"), [("cortex-a76", ()), ("cortex-a57", ("dotprod",))])
def test_an_emulated_core_and_what_it_lacks(
    tmp_path: Path, cpu: str, lacks: tuple[str, ...]
) -> None:
    # Plain code with one feature asked for: what the probe itself uses must run everywhere.
    target = replace(resolve("aarch64-linux-gnu"), features=("neon", "dotprod"))
    machine = read_machine(emulate([build_probe_program(target, tmp_path)], cpu=cpu))
    assert (machine.arch, machine.lacks) == ("aarch64", lacks)


def test_inside_tvm_it_finds_the_libraries(tmp_path: Path) -> None:
    library = build_probe_library(detect_host(), tmp_path)
    from efcompile.tvm_api import tvm

    module = tvm.runtime.load_module(str(library))
    text = tvm.runtime.tensor(np.zeros(CAPACITY, np.uint8))
    written = int(module[FUNCTION](text))
    machine = read_machine(text.numpy()[:written].tobytes().decode())
    assert machine.ffi.startswith("0.1.")
    assert any(path.endswith("/tvm/lib/libtvm_runtime.so") for path in machine.libraries)
    assert len(set(machine.libraries)) == len(machine.libraries)
    small = tvm.runtime.tensor(np.zeros(8, np.uint8))
    assert int(module[FUNCTION](small)) == -1
    assert int(module[FUNCTION](1)) == -1


@needs_zig
def test_android_needs_bionic_alone(tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    with build_probe_library(resolve("android"), tmp_path).open("rb") as file:
        dynamic = ELFFile(file).get_section_by_name(".dynamic")
        needed = {tag.needed for tag in dynamic.iter_tags("DT_NEEDED")}
    assert needed <= {"libc.so", "libm.so"}


@pytest.mark.parametrize("said", ["", "Killed\n", "machine aarch64\n"])
def test_something_else_is_no_machine(said: str) -> None:
    with pytest.raises(DeviceError, match="did not run as it should"):
        read_machine(said)
