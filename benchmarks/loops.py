"""Loops of an arm64 function, found in its disassembly."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*)$")
_HEADING = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_BRANCH = re.compile(r"^(?:b|b\.\w+|cbz|cbnz|tbz|tbnz)\s+(?:.*,\s*)?0x([0-9a-f]+)\b")
_FLOATS = ("fmul", "fadd", "fsub", "fmax", "fmin", "fdiv")


@dataclass(frozen=True)
class Instruction:
    """An instruction, its mnemonic first, as the disassembler writes it."""

    address: int
    text: str

    @property
    def jumps_to(self) -> int | None:
        """Where a direct branch goes."""
        found = _BRANCH.match(self.text)
        return int(found[1], 16) if found else None


@dataclass(frozen=True)
class Loop:
    """The instructions of an innermost loop, its backward branch last."""

    body: tuple[Instruction, ...]

    @property
    def fmlas(self) -> int:
        """Multiply-adds."""
        return self._count("fmla", "fmls", "fmadd", "fmsub")

    @property
    def floats(self) -> int:
        """Multiply-adds, and other floating-point arithmetic."""
        return self.fmlas + self._count(*_FLOATS)

    @property
    def spills(self) -> int:
        """Loads and stores of the stack: sums or operands that did not fit the registers."""
        return sum("[sp" in instruction.text for instruction in self.body)

    def _count(self, *mnemonics: str) -> int:
        return sum(i.text.split()[0].startswith(mnemonics) for i in self.body)


def instructions(disassembly: str, function: str) -> list[Instruction]:
    """The instructions of `function` in what ``llvm-objdump -d --no-show-raw-insn`` printed."""
    found: list[Instruction] = []
    inside = False
    for line in disassembly.splitlines():
        if heading := _HEADING.match(line):
            inside = heading[1] == function
        elif inside and (match := _LINE.match(line)):
            text = re.split(r"\s*//|\s*<", match[2])[0]
            found.append(Instruction(int(match[1], 16), " ".join(text.split())))
    return found


def innermost(code: Sequence[Instruction]) -> list[Loop]:
    """Loops (from a backward branch's target to the branch) that hold no other loop."""
    spans = [
        (target, i.address)
        for i in code
        if (target := i.jumps_to) is not None and target <= i.address
    ]
    leaves = [
        (start, end)
        for start, end in spans
        if not any(start <= s and e <= end and (s, e) != (start, end) for s, e in spans)
    ]
    return [Loop(tuple(i for i in code if start <= i.address <= end)) for start, end in leaves]


def hottest(code: Sequence[Instruction]) -> Loop | None:
    """The innermost loop with the most multiply-adds, other arithmetic where there are none."""
    return max(innermost(code), key=lambda loop: (loop.fmlas, loop.floats), default=None)
