"""A compiled candidate with its data: what a device measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from efcompile.bundle.trial import Part, Step, Trial
from efcompile.kernels.kernel import Array, Kernel, OpCall
from efcompile.tuning.compile import Compiled
from efcompile.tuning.workload import example


@dataclass(frozen=True, eq=False)
class Stage:
    """One kernel of a trial: the op call it serves, and its code for certain knobs.  `wires` says
    which runtime operands are the result of the stage before."""

    kernel: Kernel
    shape: Any
    knobs: Any
    call: OpCall
    code: Compiled
    wires: frozenset[str] = frozenset()


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
    """The trial of `stages`, run one after the other.  `given` are the operands by the name each
    stage's `pack` uses (chains: see `Stage.wires`), `expected` is the last stage's result."""
    parts: list[Part] = []
    steps: list[Step] = []
    places: dict[str, int] = {}
    before: int | None = None

    def place(part: Part) -> int:
        parts.append(part)
        return len(parts) - 1

    for number, stage in enumerate(stages):
        positions: list[int] = []
        for item in stage.kernel.pack(stage.call, stage.shape, stage.knobs):
            if not isinstance(item, str):
                positions.append(place(Part("constant", item.nbytes, item)))
            elif item in stage.wires:
                assert before is not None, f"{name}: {item} has no stage before it"
                positions.append(before)
            else:
                if item not in places:
                    places[item] = place(Part("input", given[item].nbytes, given[item]))
                positions.append(places[item])
        if number == len(stages) - 1:
            before = place(Part("output", expected.nbytes, expected))
        else:
            size = stage.call.out
            count = 4
            for extent in size.shape:
                count *= extent
            before = place(Part("middle", count, None))
        code = stage.code
        steps.append(
            Step(
                code.symbol,
                code.object,
                (*positions, before),
                code.tasks,
                code.scratch_bytes,
                code.chained,
            )
        )
    return Trial(name, tuple(steps), tuple(parts))
