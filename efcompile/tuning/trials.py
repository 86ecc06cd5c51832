"""A compiled candidate with its data: what a device measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from efcompile.bundle.trial import Part, Step, Trial
from efcompile.kernels.kernel import Array, Kernel, OpCall
from efcompile.tuning.compile import Compiled
from efcompile.tuning.workload import example


@dataclass(frozen=True, eq=False)
class Stage:
    """One kernel of a trial: the op call it serves, and its code for certain knobs.  `operands`
    tells what the trial calls the runtime operands of the call, if not the same: None is the
    result of the stage before."""

    kernel: Kernel
    shape: Any
    knobs: Any
    call: OpCall
    code: Compiled
    operands: Mapping[str, str | None] = field(default_factory=dict)


@dataclass
class Data:
    """A call's operands and its result in eager, made once for all candidates."""

    call: OpCall
    _made: tuple[dict[str, Array], Array] | None = field(default=None, repr=False)

    def get(self) -> tuple[dict[str, Array], Array]:
        """Runtime operands by name, and the result."""
        if self._made is None:
            self._made = example(self.call)
        return self._made


def make_trial(
    name: str, stages: Sequence[Stage], given: Mapping[str, Array], expected: Array
) -> Trial:
    """The trial of `stages`, run one after the other, on the runtime operands `given`; `expected`
    is what the last one must make."""
    parts: list[Part] = []
    places: dict[int, int] = {}
    steps: list[Step] = []

    def place(part: Part) -> int:
        parts.append(part)
        return len(parts) - 1

    def operand(stage: Stage, item: str) -> int:
        known = stage.operands.get(item, item)
        if known is None:
            return steps[-1].args[-1]
        array = given[known]
        if id(array) not in places:  # one array may have two names
            places[id(array)] = place(Part("input", array.nbytes, array))
        return places[id(array)]

    for stage in stages:
        args = [
            operand(stage, item)
            if isinstance(item, str)
            else place(Part("constant", item.nbytes, item))
            for item in stage.kernel.pack(stage.call, stage.shape, stage.knobs)
        ]
        last = stage is stages[-1]
        size = 4 * prod(stage.call.out.shape)
        args.append(place(Part("output", size, expected) if last else Part("middle", size, None)))
        code = stage.code
        steps.append(
            Step(
                code.symbol, code.object, tuple(args), code.tasks, code.scratch_bytes, code.chained
            )
        )
    return Trial(name, tuple(steps), tuple(parts))
