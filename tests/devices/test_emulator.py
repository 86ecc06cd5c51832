"""The emulator's counts are those of programs whose instructions are known one by one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from efcompile.devices import emulator
from efcompile.devices.emulator import (
    InstructionCounts,
    ProgramError,
    count_at_marks,
    count_instructions,
    emulate,
    trace_marks,
)
from efcompile.errors import DeviceError
from tests.devices.arm64 import assemble, needs_arm64

# Class -> one-line instructions.  x1 holds a 64-byte aligned address of 256 bytes.
EXAMPLES = {
    "fmla": """
        fmla v0.4s, v1.4s, v2.4s
        fmla v0.2s, v1.2s, v2.2s
        fmla v0.2d, v1.2d, v2.2d
        fmls v0.4s, v1.4s, v2.4s
        fmla v0.4s, v1.4s, v2.s[0]
        fmla v0.4s, v1.4s, v31.s[3]
        fmls v0.2d, v1.2d, v2.d[1]
        fmla v0.8h, v1.8h, v2.8h
        fmls v0.4h, v1.4h, v2.4h
        fmla v0.8h, v1.8h, v2.h[7]
        fmlal v0.4s, v1.4h, v2.4h
        fmlsl2 v0.4s, v1.4h, v2.4h
        fmlal v0.4s, v1.4h, v2.h[5]
        fmlal2 v0.4s, v1.4h, v2.h[1]
    """,
    "simd": """
        fadd v0.4s, v1.4s, v2.4s
        fmul v0.4s, v1.4s, v2.4s
        fmul v0.4s, v1.4s, v2.s[1]
        fmulx v0.4s, v1.4s, v2.4s
        fmax v0.4s, v1.4s, v2.4s
        fmadd s0, s1, s2, s3
        fmla s0, s1, v2.s[0]
        mla v0.4s, v1.4s, v2.4s
        mla v0.4s, v1.4s, v2.s[0]
        smlal v0.4s, v1.4h, v2.h[0]
        sdot v0.4s, v1.16b, v2.16b
        dup v0.4s, w3
        fmov s0, w3
        movi v0.4s, #0
        fcvtzs w3, s0
        zip1 v0.4s, v1.4s, v2.4s
        fcmp s0, s1
    """,
    "load": """
        ldr x3, [x1]
        ldrb w3, [x1, #1]
        ldrsw x3, [x1, x4]
        ldur x3, [x1, #3]
        ldp x3, x5, [x1]
        ldpsw x3, x5, [x1]
        ldr x3, =0x123456789abcdef
        ldr q0, [x1]
        ldr s0, [x1, #4]
        ldr b0, [x1]
        ldr q0, [x1, x4]
        ldr q0, [x1], #0
        ldp q0, q1, [x1, #32]
        ldnp d0, d1, [x1]
        ld1 {v0.4s-v3.4s}, [x1]
        ld1r {v0.4s}, [x1]
        ld1 {v0.s}[1], [x1]
        ld2 {v0.4s, v1.4s}, [x1]
        ldaxr x3, [x1]
        ldar x3, [x1]
        ldadd x3, x5, [x1]
        swp x3, x5, [x1]
        cas x3, x5, [x1]
        ldapur x3, [x1, #8]
    """,
    "store": """
        str x3, [x1]
        strb w3, [x1, #1]
        strh w3, [x1, x4]
        stur x3, [x1, #3]
        stp x3, x5, [x1]
        str q0, [x1]
        str s0, [x1, #4]
        str h0, [x1, x4]
        stp q0, q1, [x1, #32]
        stnp d0, d1, [x1]
        st1 {v0.4s-v3.4s}, [x1]
        st1 {v0.s}[1], [x1]
        st4 {v0.4s-v3.4s}, [x1]
        stlr x3, [x1]
        stxr w6, x3, [x1]
        stlur x3, [x1, #8]
    """,
    "branch": """
        b 1f
        1: cbz x4, 1f
        1: tbnz x4, #3, 1f
        1: b.eq 1f
        1: bl 1f
        1: nop
        mrs x3, tpidr_el0
        dmb ish
    """,
    "other": """
        add x3, x3, #1
        sub x3, x3, x5, lsl #2
        mov x3, x5
        movk x3, #1, lsl #16
        adrp x3, buffer
        madd x3, x3, x5, x6
        cmp x3, x5
        csel x3, x5, x6, lt
        ubfx x3, x5, #1, #2
        prfm pldl1keep, [x1]
        prfm pldl1keep, [x1, x4]
        prfm pldl1keep, buffer
    """,
}

START = """
    .bss
    .balign 64
    buffer: .skip 256
    .text
    .global _start
    _start:
        adr x1, buffer
        mov x4, #0
"""
EXIT = """
        mov x8, #93
        mov x0, #0
        svc #0
"""
# Of START and EXIT together: two plus two integer moves, and the system call.
AROUND = InstructionCounts(fmla=0, simd=0, load=0, store=0, branch=1, other=4)


@needs_arm64
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_counted_in_its_class(name: str, tmp_path: Path) -> None:
    lines = [line for line in EXAMPLES[name].splitlines() if line.strip()]
    program = assemble(START + "\n".join(lines) + EXIT, tmp_path)
    counts = count_instructions([program]) - AROUND
    assert counts == InstructionCounts(
        **{kind: len(lines) if kind == name else 0 for kind in EXAMPLES}
    )


LOOP = f"""{START}
        mov x9, #1000
    2:  fmla v0.4s, v1.4s, v2.s[0]
        fmla v3.4s, v1.4s, v2.s[1]
        ldr q1, [x1]
        subs x9, x9, #1
        b.ne 2b
{EXIT}"""


@needs_arm64
def test_loops_are_counted_exactly_and_repeatably(tmp_path: Path) -> None:
    program = assemble(LOOP, tmp_path)
    first = count_instructions([program])
    assert first == count_instructions([program])
    assert (first.fmla, first.load) == (2000, 1000)
    assert first.total == 5000 + 1 + AROUND.total


@needs_arm64
def test_a_comma_in_the_path_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a,b"))
    assert count_instructions([assemble(LOOP, tmp_path)]).fmla == 2000


@needs_arm64
def test_the_environment_is_empty_but_for_options(tmp_path: Path) -> None:
    # The stack of a program that just started: argc, argv[0], null, and the first variable.
    look = "ldr x9, [sp, #24]\n cbz x9, 3f\n fmla v0.4s, v1.4s, v2.4s\n 3:\n"
    program = assemble(START + look + EXIT, tmp_path)
    without, given = count_instructions([program]), ("-E", "A=B")
    assert count_instructions([program], options=given).fmla == without.fmla + 1
    assert emulate([program], options=given) == ""


@needs_arm64
def test_output_and_failure_are_reported(tmp_path: Path) -> None:
    failing = assemble(START + "mov x8, #93\nmov x0, #3\nsvc #0\n", tmp_path)
    with pytest.raises(DeviceError, match="exited with status 3"):
        emulate([failing])
    crashing = assemble(START + ".inst 0\n", tmp_path)
    with pytest.raises(ProgramError, match="signal") as crash:
        emulate([crashing])
    assert crash.value.how == "ended by signal 4 (SIGILL)"
    endless = assemble(START + "2: b 2b\n", tmp_path)
    with pytest.raises(ProgramError, match=r"did not end within 0\.5 s") as hang:
        emulate([endless], timeout=0.5)
    assert hang.value.how == "did not end within 0.5 s"


@needs_arm64
def test_code_beyond_the_declared_features_dies(tmp_path: Path) -> None:
    program = assemble(START + ".inst 0x4e82a420\n" + EXIT, tmp_path)  # smmla, of i8mm
    assert emulate([program], cpu=emulator.cpu_model(("neon", "i8mm"))) == ""
    with pytest.raises(DeviceError, match="signal"):
        emulate([program], cpu=emulator.cpu_model(("neon", "fullfp16", "dotprod")))


def test_a_missing_emulator_is_named_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for run in (emulate, count_instructions):
        with pytest.raises(DeviceError, match="apt-get install qemu-user"):
            run(["program"])


@needs_arm64
def test_counts_are_told_at_marks(tmp_path: Path) -> None:
    """Two visits to a function of three instructions, at whose first it is told."""
    body = (
        "bl visit\n fmla v0.4s, v1.4s, v2.4s\n bl visit\n"
        + EXIT
        + ".global visit\n visit: nop\n fadd v0.4s, v1.4s, v2.4s\n ret\n"
    )
    program = assemble(START + body, tmp_path)
    listed = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    address = next(int(line.split()[0], 16) for line in listed.splitlines() if "visit" in line)
    found = count_at_marks([program], [address])
    assert [where for where, _ in found] == [address, address]
    first, second = (counts for _, counts in found)
    assert first == InstructionCounts(fmla=0, simd=0, load=0, store=0, branch=1, other=2)
    # nop is of the system instructions, which count as branches.
    assert second - first == InstructionCounts(fmla=1, simd=1, load=0, store=0, branch=3, other=0)
    assert count_at_marks([program], [address + 2**20]) == []
    trace = trace_marks([program], [address])
    assert (trace.output, list(trace.arrivals)) == ("", found)
