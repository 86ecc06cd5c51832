"""MetaSchedule as it comes, on one of our kernels' plain algorithms, with our builder and devices.

Stock are the space (`PostOrderApply` with the default rules, post-processors and mutators for
CPUs), the search (evolutionary), the cost model (gradient-boosted trees over features of the
lowered code) and the task scheduler.  In its favour:

- Constant operands are marked as free in layout, and are packed ahead of time.
- Trials come in batches of 16, and the model is asked from the first batch on: by default a batch
  has 64 and the model guesses at random until it has seen 100, so that it would not be used at
  all in a search this short.

Code is what TVM compiles (`stock_code.py`).  Ours are the builder (a forked child per candidate:
the stock one starts workers that import for half a minute), the timing, the data, and a look at
the result: of some of its own schedules TVM makes code with wrong numbers, and such a candidate
has failed.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks.stock_code import assemble, expand
from benchmarks.stock_layout import rewritten
from efcompile import tvm_api
from efcompile.bundle.trial import Outcome, TrialSettings
from efcompile.devices.device import TrialDevice
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall, Operand
from efcompile.tuning.bench import TOLERANCE
from efcompile.tuning.compile import Compiled, Job, compile_all
from efcompile.tuning.task import Task
from efcompile.tuning.trials import Data, Stage, make_trial
from efcompile.tvm_api import meta_schedule_part as part
from efcompile.tvm_api import tvm

BATCH = 16
POPULATION = 512
"""MetaSchedule's own."""
ATTEMPTS = 4
CostModel = Literal["xgb", "random"]

_meta = tvm_api.meta_schedule()


@dataclass(frozen=True)
class Found:
    """What a search came to: the scheduled `module` of the best candidate (None if none worked),
    the median `ns` of its calls when it was tried, how many were tried, why those failed that did,
    the `seconds` all of it took, and the `faults` that MetaSchedule itself ended with."""

    module: Any
    ns: float
    trials: int
    failures: tuple[str, ...]
    seconds: float
    faults: tuple[str, ...] = ()


def search(
    task: Task,
    device: TrialDevice,
    settings: TrialSettings,
    trials: int,
    folder: Path,
    model: CostModel = "xgb",
    population: int = POPULATION,
) -> Found:
    """Search MetaSchedule's space for `task` with `trials` candidates measured on `device`, one
    thread; records and candidates go to `folder`.  Each batch is the best, by the model, of
    generations of `population` candidates.

    MetaSchedule's own analysis fails on some of its candidates and takes the search along; it
    goes on from its records with another seed then, `ATTEMPTS` times at most."""
    start = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    target = tvm.target.Target(tvm_api.tvm_target(task.target))
    module = workload(task)
    tried = _Trials(task, device, settings, folder / "candidates")
    database = _meta.database.JSONDatabase(work_dir=str(folder))
    builder, runner = _Builder(tried), _Runner(tried)
    faults: list[str] = []
    while tried.tried < trials and len(faults) < ATTEMPTS:
        try:
            _meta.tune.tune_tasks(
                tasks=[_context(task, module, population, seed=1 + len(faults))],
                task_weights=[1.0],
                work_dir=str(folder),
                max_trials_global=trials - tried.tried,
                num_trials_per_iter=min(BATCH, trials - tried.tried),
                builder=part("builder.PyBuilder", builder),
                runner=part("runner.PyRunner", runner),
                database=database,
                cost_model=_cost_model(model),
            )
        except RuntimeError as fault:
            faults.append(str(fault).strip().splitlines()[0])
        else:
            break  # all trials done, or its space has no more
    best = None
    if tried.best < inf:
        best = database.query_schedule(module, target, task.name).mod
    seconds = time.monotonic() - start
    return Found(best, tried.best, tried.tried, tuple(tried.failures), seconds, tuple(faults))


def workload(task: Task) -> Any:
    """The kernel's plain algorithm as a module, its constant operands free in layout."""
    function = task.kernel.plain(task.shape)
    operands = _operands(task.call)
    if len(operands) != len(function.params) - 1:
        raise ValueError(f"{task.name}: the plain algorithm has operands that the op has not")
    free = [i for i, operand in enumerate(operands.values()) if operand.value is not None]
    attributes = {"global_symbol": "main", "layout_free_buffers": free}
    return tvm.IRModule({"main": function.with_attr(attributes)})


def stock_kernel(kernel: Kernel) -> Kernel:
    """`kernel` with code of MetaSchedule's: its knobs are scheduled modules, its arguments the op's
    operands, constants in the layout that a module wants."""

    def build(symbol: str, shape: Any, target: Any, knobs: Any) -> Built:
        return expand(knobs)

    def pack(call: OpCall, shape: Any, knobs: Any) -> list[str | Array]:
        return [
            name if operand.value is None else rewritten(knobs, position, operand.value)
            for position, (name, operand) in enumerate(_operands(call).items())
        ]

    return replace(kernel, build=build, pack=pack)


def stock_job(task: Task, module: Any) -> Job:
    """The compilation of a scheduled module of `task`."""
    kernel = stock_kernel(task.kernel)
    return Job(kernel, task.shape, task.target, module, assemble)


def judged(outcome: Outcome) -> Outcome:
    """`outcome`, a failure if its numbers are wrong."""
    if outcome.failure or outcome.error <= TOLERANCE:
        return outcome
    return replace(outcome, values=(), failure=f"wrong numbers: off by {outcome.error:.1e}")


def _operands(call: OpCall) -> dict[str, Operand]:
    """The tensors that are there, by the names `Kernel.pack` uses, in the op's order."""
    found: dict[str, Operand] = {}
    for name, value in call.args.items():
        if isinstance(value, Operand):
            found[name] = value
        elif isinstance(value, list):
            found |= {f"{name}.{i}": v for i, v in enumerate(value) if isinstance(v, Operand)}
    return found


def _context(task: Task, module: Any, population: int, seed: int) -> Any:
    space = _meta.space_generator.PostOrderApply(
        # For plain vector code: the rules for dot products of bytes need tensor intrinsics, which
        # take TVM half a minute to import.
        sch_rules="llvm",
        postprocs="llvm",
        mutator_probs="llvm",
    )
    return tvm_api.tune_context(
        module,
        task.target,
        space,
        _meta.search_strategy.EvolutionarySearch(
            population_size=population, init_min_unmeasured=min(50, population)
        ),
        name=task.name,
        seed=seed,
        log=logging.getLogger(__name__),
        threads=_meta.utils.cpu_count(logical=False),
    )


def _cost_model(model: CostModel) -> Any:
    if model == "random":
        return _meta.cost_model.RandomModel(seed=1)
    return _meta.cost_model.XGBModel(num_warmup_samples=BATCH)


class _Trials:
    """Candidates of a task, from scheduled modules to times."""

    def __init__(
        self, task: Task, device: TrialDevice, settings: TrialSettings, folder: Path
    ) -> None:
        self.task, self.device, self.settings, self.folder = task, device, settings, folder
        self.data = Data(task.call)
        self.stages: dict[str, Stage] = {}
        self.tried = 0
        self.failures: list[str] = []
        self.best = inf

    def compile(self, modules: Sequence[Any]) -> list[str | Compiled]:
        """Each in a forked child and into a folder of its own, which MetaSchedule removes."""
        jobs = [stock_job(self.task, module) for module in modules]
        folders = [self.folder / str(self.tried + i) for i in range(len(jobs))]
        self.tried += len(jobs)
        made = compile_all(jobs, folders)
        for job, code in zip(jobs, made, strict=True):
            if isinstance(code, str):
                self.failures.append(code)
            else:
                self.stages[str(code.object)] = Stage(
                    job.kernel, job.shape, job.knobs, self.task.call, code
                )
        return made

    def measure(self, objects: Sequence[str]) -> list[Outcome]:
        """Those that `compile` made; wrong numbers are a failure."""
        stages = [self.stages.pop(path) for path in objects]
        trials = [make_trial(self.task.name, [stage], *self.data.get()) for stage in stages]
        outcomes = [
            judged(outcome)
            for outcome in self.device.measure_trials(trials, self.task.target, self.settings)
        ]
        self.failures += [outcome.failure for outcome in outcomes if outcome.failure]
        self.best = min([self.best, *(median(o.values) for o in outcomes if not o.failure)])
        return outcomes


class _Builder:
    def __init__(self, trials: _Trials) -> None:
        self.trials = trials

    def build(self, build_inputs: Sequence[Any]) -> list[Any]:
        result = _meta.builder.BuilderResult
        return [
            result(None, made) if isinstance(made, str) else result(str(made.object), None)
            for made in self.trials.compile([given.mod for given in build_inputs])
        ]


class _Runner:
    def __init__(self, trials: _Trials) -> None:
        self.trials = trials

    def run(self, runner_inputs: Sequence[Any]) -> list[Any]:
        outcomes = self.trials.measure([str(given.artifact_path) for given in runner_inputs])
        return [part("runner.PyRunnerFuture", _Future(outcome)) for outcome in outcomes]


class _Future:
    """A result that is there."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        if self.outcome.failure:
            return _meta.runner.RunnerResult(None, self.outcome.failure)
        return _meta.runner.RunnerResult([ns * 1e-9 for ns in self.outcome.values], None)
