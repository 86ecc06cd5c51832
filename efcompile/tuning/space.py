"""What is searched for a task: vectors of knobs, as MetaSchedule's traces hold them.

The workload is the kernel's plain algorithm.  The template samples each knob from its actual
values and annotates the root block with it; it transforms nothing, so it replays on any
workload, and the kernel's own `build` makes the code that the annotations stand for::

    v1 = sch.sample_categorical(candidates=[4, 6, 8], probs=[...], decision=1)
    sch.annotate(block_or_loop=root, ann_key="efcompile.tile.rows", ann_val=v1)
    ...
    sch.enter_postproc()
    sch.annotate(block_or_loop=root, ann_key="efcompile.knobs", ann_val="task_panels=2 tile.rows=6")

The last annotation says to people what the decisions, which are positions, mean.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from efcompile import tvm_api
from efcompile.errors import TuningError
from efcompile.kernels.knobs import flatten, with_values
from efcompile.tuning.task import Task

Values = dict[str, int]
"""Knobs by path (see `kernels.knobs.flatten`)."""
Vector = tuple[int, ...]
"""The values alone, in the order of `KnobSpace.values`."""

_PREFIX = "efcompile."
_KERNEL, _SHAPE, _SUMMARY = "efcompile.kernel", "efcompile.shape", "efcompile.knobs"


@dataclass(frozen=True, eq=False)
class KnobSpace:
    """The vectors of a task: per knob path the values to try, rising, the default's among them;
    `start` is the vector of the analytic knobs `default`, and counts as legal.  Knobs that are not
    listed keep the default's value."""

    task: Task
    values: dict[str, tuple[int, ...]]
    start: Values
    default: Any
    _legal: dict[Vector, bool] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        """How many vectors there are, legal or not."""
        return math.prod(len(values) for values in self.values.values())

    @cached_property
    def workload(self) -> Any:
        """`workload` of the task."""
        return workload(self.task)

    def knobs(self, values: Mapping[str, int]) -> Any | None:
        """The kernel's knobs, or None if these are not legal."""
        task = self.task
        knobs = with_values(self.default, values)
        return knobs if task.kernel.legal(task.shape, task.target, knobs) else None

    def legal(self, values: Mapping[str, int]) -> bool:
        """Whether `knobs` has an answer; each vector is asked for once."""
        vector = self.vector(values)
        if vector not in self._legal:
            self._legal[vector] = vector == self.vector(self.start) or (
                self.knobs(values) is not None
            )
        return self._legal[vector]

    def vector(self, values: Mapping[str, int]) -> Vector:
        """`values` as a key.  They must name every knob of the space."""
        return tuple(values[path] for path in self.values)

    def covers(self, values: Mapping[str, int]) -> bool:
        """Whether `values` name this space's knobs and no others."""
        return values.keys() == self.values.keys()

    def nearest(self, values: Mapping[str, int]) -> Values:
        """The vector of the space that is next to `values`, which may come from another target:
        per knob the closest value, by ratio; the default's for a knob that they do not name."""
        return {
            path: min(
                choices,
                key=lambda choice: abs(math.log2(1 + abs(choice)) - math.log2(1 + abs(given))),
            )
            for path, choices in self.values.items()
            for given in [values.get(path, self.start[path])]
        }

    def all(self) -> Iterator[Values]:
        """Every vector, legal or not."""
        for vector in itertools.product(*self.values.values()):
            yield dict(zip(self.values, vector, strict=True))


def knob_space(task: Task) -> KnobSpace:
    """The space of `task`, from its kernel's `choices`.

    Raises `TuningError` if they name a knob that the kernel does not have.
    """
    knobs = task.default
    default = flatten(knobs)
    choices = task.kernel.choices(task.shape, task.target)
    unknown = sorted(choices.keys() - default.keys())
    if unknown:
        raise TuningError(
            f"kernel {task.kernel.name}: choices() names {', '.join(unknown)}, "
            f"but its knobs are {', '.join(default)}"
        )
    values = {
        path: tuple(sorted({*map(int, choices[path]), default[path]})) for path in sorted(choices)
    }
    return KnobSpace(task, values, {path: default[path] for path in values}, knobs)


def workload(task: Task) -> Any:
    """The kernel's plain algorithm as a module of one function ``main`` that names the kernel and
    the shape, so that kernels whose algorithms are written alike are different workloads."""
    function = task.kernel.plain(task.shape).with_attr("global_symbol", "main")
    kernel, shape = task.key
    named = function.with_attr(_KERNEL, kernel).with_attr(_SHAPE, shape)
    return tvm_api.tvm.IRModule({"main": named})


def key_of(module: Any) -> tuple[str, str] | None:
    """The task's key that `workload` wrote into `module`, or None if it was not made here."""
    functions = list(module.functions.values())
    attrs = functions[0].attrs if functions else None
    if not attrs or _KERNEL not in attrs or _SHAPE not in attrs:
        return None
    return str(attrs[_KERNEL]), str(attrs[_SHAPE])


def identify(module: Any) -> tuple[tuple[str, str], Values]:
    """The task's key and the knobs of a module that the template has annotated."""
    key = key_of(module)
    if key is None:
        raise TuningError("this module is not a candidate of efcompile: it names no kernel")
    annotations = module["main"].body.block.annotations
    return key, {
        str(name).removeprefix(_PREFIX): int(value)
        for name, value in annotations.items()
        if str(name).startswith(_PREFIX) and str(name) != _SUMMARY
    }


def values_of(trace: Any) -> Values:
    """The knobs that a trace of the template holds.  It says itself what its decisions mean, so
    this is right for records of an earlier release with other choices too."""
    found: Values = {}
    sampled: int | None = None
    for instruction in trace.insts:
        if instruction.kind.name == "SampleCategorical":
            candidates, decision = instruction.attrs[0], trace.decisions.get(instruction)
            sampled = None if decision is None else int(candidates[int(decision)])
        elif instruction.kind.name == "Annotate" and sampled is not None:
            # The template annotates what it has sampled just before.
            found[str(instruction.attrs[0]).removeprefix(_PREFIX)] = sampled
            sampled = None
    return found


def template(schedule: Any, space: KnobSpace, forced: Mapping[str, int] | None = None) -> None:
    """Sample and annotate every knob; `forced` values are the decisions, and a value that is not
    among the choices becomes one."""
    root = schedule.get_sblock("root")
    for path, values in space.values.items():
        decision = None
        if forced is not None:
            values = tuple(sorted({*values, forced[path]}))
            decision = values.index(forced[path])
        chances = [1.0 / len(values)] * len(values)
        sampled = schedule.sample_categorical(list(values), chances, decision=decision)
        schedule.annotate(root, f"{_PREFIX}{path}", sampled)


def summarise(schedule: Any, values: Mapping[str, int]) -> None:
    """Annotate the knobs once more, for people who read the record."""
    text = " ".join(f"{path}={value}" for path, value in sorted(values.items()))
    schedule.annotate(schedule.get_sblock("root"), _SUMMARY, text)


def forced_schedule(space: KnobSpace, values: Mapping[str, int]) -> Any:
    """A schedule of the workload whose trace holds `values`, as the search would have left it."""
    schedule = tvm_api.s_tir.Schedule(space.workload, debug_mask=0, error_render_level="none")
    template(schedule, space, values)
    schedule.enter_postproc()
    summarise(schedule, values)
    return schedule
