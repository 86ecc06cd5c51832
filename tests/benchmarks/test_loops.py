from benchmarks.loops import hottest, innermost, instructions

LISTING = """
/tmp/kernel.o:\tfile format elf64-littleaarch64

Disassembly of section .text:

0000000000000000 <other>:
       0:      \tfmla\tv0.4s, v1.4s, v2.4s
       4:      \tb.ne\t0x0 <other>

0000000000000010 <kernel>:
      10:      \tmov\tx8, #0x0                // =0
      14:      \tldr\tq1, [x0], #0x10
      18:      \tfmla\tv0.4s, v1.4s, v2.s[0]
      1c:      \tsubs\tw9, w9, #0x1
      20:      \tb.ne\t0x14 <kernel+0x4>
      24:      \tb.hi\t0x30 <kernel+0x20>
      28:      \tldp\tq3, q4, [sp, #0x20]
      2c:      \tfmla\tv0.4s, v3.4s, v2.s[0]
      30:      \tfmla\tv0.4s, v4.4s, v2.s[1]
      34:      \tfadd\tv0.4s, v0.4s, v5.4s
      38:      \tcbnz\tw10, 0x28 <kernel+0x18>
      3c:      \ttbnz\tw11, #0x2, 0x10 <kernel>
      40:      \tret
"""


def test_a_functions_instructions_are_its_own() -> None:
    code = instructions(LISTING, "kernel")
    assert [i.address for i in code] == list(range(0x10, 0x44, 4))
    assert code[0].text == "mov x8, #0x0"
    assert [i.jumps_to for i in code if i.jumps_to is not None] == [0x14, 0x30, 0x28, 0x10]
    assert instructions(LISTING, "absent") == []


def test_loops_that_hold_others_and_jumps_ahead_are_left_out() -> None:
    loops = innermost(instructions(LISTING, "kernel"))
    assert [(loop.body[0].address, loop.body[-1].address) for loop in loops] == [
        (0x14, 0x20),
        (0x28, 0x38),
    ]


def test_the_hottest_has_the_most_multiply_adds() -> None:
    loop = hottest(instructions(LISTING, "kernel"))
    assert loop is not None
    assert loop.body[0].address == 0x28
    assert (loop.fmlas, loop.floats, loop.spills) == (2, 3, 1)
    assert hottest(instructions(LISTING, "absent")) is None
