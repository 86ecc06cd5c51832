"""A kernel of a thousand knob vectors whose cost is a formula: what is searched in tests."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from efcompile import tvm_api
from efcompile.kernels.kernel import Built, Kernel, OpCall, Operand
from efcompile.targets.target import Target
from efcompile.tuning.space import Values, identify
from efcompile.tuning.task import Task

TARGET = Target(
    "toy", "x86_64-linux-gnu", "skylake", (), 256, 16, 32768, 1 << 20, 1 << 22, 2, "linux", "elf"
)


@dataclass(frozen=True)
class Shape:
    """``y[m] = 2 * x[m]``."""

    m: int


@dataclass(frozen=True)
class Tile:
    """A tile's `rows` and `panel`."""

    rows: int
    panel: int


@dataclass(frozen=True)
class Knobs:
    """`tile`, the number of `tasks`, and a switch that is not tuned."""

    tile: Tile
    tasks: int
    aside: bool


def _plain(shape: Shape) -> Any:
    te = tvm_api.te
    x = te.placeholder((shape.m,), name="x")
    return te.create_prim_func([x, te.compute((shape.m,), lambda i: x[i] * 2.0, name="y")])


def _choices(shape: Shape, target: Target) -> Mapping[str, Sequence[int]]:
    panels = [8 * i for i in range(1, 11)]
    return {
        "tile.rows": range(1, 11),
        "tile.panel": panels,
        "tasks": [2**i for i in range(10)],
    }


def _legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    return knobs.tile.rows * knobs.tile.panel <= 480


def _default(shape: Shape, target: Target) -> Knobs:
    return Knobs(Tile(2, 16), 1, False)


def _build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    raise AssertionError("nothing is built in these tests")


KERNEL = Kernel(
    "toy",
    "toy",
    lambda call: Shape(call.out.shape[0]),
    _plain,
    _default,
    lambda call, shape, knobs: [],
    _build,
    _choices,
    _legal,
)


def task(m: int = 64, choices: Mapping[str, Sequence[int]] | None = None) -> Task:
    """`KERNEL` at a shape, perhaps with other choices."""
    kernel = KERNEL if choices is None else replace(KERNEL, choices=lambda shape, target: choices)
    call = OpCall("toy", {}, Operand((m,)))
    return Task(kernel, Shape(m), TARGET, call, 3, ("stages.0",))


def seconds(values: Mapping[str, int]) -> float:
    """What a candidate costs: least at 6 rows, a panel of 48 and 16 tasks, and rugged around."""
    rows, panel, tasks = values["tile.rows"], values["tile.panel"], values["tasks"]
    smooth = (abs(rows - 6) / 3) ** 1.2 + abs(math.log2(panel / 48))
    rugged = 0.3 * (rows * panel % 3) + 0.2 * ((rows + tasks) % 4 == 0)
    return float(1e-5 * (1 + smooth + 0.3 * abs(math.log2(tasks) - 4) + rugged))


@dataclass
class Bench:
    """A builder and runner in one: `seen` lists the candidates by key and knobs, `batches` how
    many came at a time.  `failing` says which candidates fail when they run, and why."""

    failing: Callable[[Values], str] = lambda values: ""
    seen: list[tuple[tuple[str, str], tuple[tuple[str, int], ...]]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    _values: dict[str, Values] = field(default_factory=dict)

    def build(self, inputs: Sequence[Any]) -> list[Any]:
        """A made-up path for each candidate."""
        result = tvm_api.meta_schedule().builder.BuilderResult
        paths = []
        for given in inputs:
            key, values = identify(given.mod)
            self.seen.append((key, tuple(values.items())))
            paths.append(f"candidate-{len(self.seen)}")
            self._values[paths[-1]] = values
        self.batches.append(len(inputs))
        return [result(path, None) for path in paths]

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """`seconds` of each."""
        runner = tvm_api.meta_schedule().runner

        def future(values: Values) -> Any:
            failure = self.failing(values)
            result = runner.RunnerResult(None if failure else [seconds(values)], failure or None)
            return runner.RunnerFuture(f_done=lambda: True, f_result=lambda: result)

        return [future(self._values[str(given.artifact_path)]) for given in inputs]
