"""The search of one task: MetaSchedule's evolutionary search, with a beginning and an end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from efcompile import tvm_api
from efcompile.tuning.frontier import Frontier
from efcompile.tuning.guard import Guard
from efcompile.tuning.mutator import KnobMutator
from efcompile.tuning.postproc import KnobFilter
from efcompile.tuning.space import Values, forced_schedule, template, values_of

_POPULATION = 48
_GENERATIONS = 3
_UNLIMITED = 2**30


class Budget(Protocol):
    """How many candidates a search may have."""

    def room(self) -> int:
        """How many the next batch may have.  0 ends the search: nothing else can stop
        MetaSchedule's scheduler in order."""

    def spend(self, count: int) -> None:
        """The next batch has `count`."""


@dataclass
class KnobSearch:
    """Starting vectors first, then what the evolutionary search finds, then, when it finds too
    few, what is left of the space."""

    frontier: Frontier
    budget: Budget
    inner: Any

    def _initialize_with_tune_context(self, context: Any) -> None:
        self.inner._initialize_with_tune_context(context)

    def pre_tuning(self, trials: int, batch: int, spaces: Any, database: Any, model: Any) -> None:
        """`batch` is what `inner` proposes at a time; `budget` says how many there are in all."""
        self.inner.pre_tuning(_UNLIMITED, batch, spaces, database, model)

    def post_tuning(self) -> None:
        self.inner.post_tuning()

    def generate_measure_candidates(self) -> list[Any] | None:
        """The next batch, or None if the search is at its end."""
        count = self.budget.room()
        if count <= 0:
            return None
        batch = [self._candidate(values) for values in self.frontier.take_starts(count)]
        if len(batch) < count:
            for proposed in self.inner.generate_measure_candidates() or ():
                values = values_of(proposed.sch.trace)
                if len(batch) < count and self.frontier.fresh(values):
                    self.frontier.hand_out(values)
                    batch.append(proposed)
        batch += [self._candidate(values) for values in self.frontier.take_rest(count - len(batch))]
        self.budget.spend(len(batch))
        return batch or None

    def notify_runner_results(self, candidates: Sequence[Any], results: Sequence[Any]) -> None:
        self.inner.notify_runner_results(candidates, results)

    def clone(self) -> Any:
        raise NotImplementedError("contexts are not cloned here")

    def _candidate(self, values: Values) -> Any:
        ms = tvm_api.meta_schedule()
        schedule = forced_schedule(self.frontier.space, values)
        arguments = ms.arg_info.ArgInfo.from_entry_func(schedule.mod, remove_preproc=True)
        return ms.search_strategy.MeasureCandidate(schedule, arguments)


def knob_context(
    frontier: Frontier,
    budget: Budget,
    *,
    seed: int,
    log: Any,
    guard: Guard,
) -> Any:
    """The ``TuneContext`` of a search: template, mutator, filter and strategy.

    The population is small, so that a batch is proposed in a fraction of a second.  Measured
    vectors are not put into it, since the filter would refuse them; see `KnobMutator`.
    """
    ms = tvm_api.meta_schedule()
    space = frontier.space
    generator = ms.space_generator.ScheduleFn(
        guard.wrap(lambda schedule: template(schedule, space)),
        sch_rules=[],
        postprocs=[guard.part("postproc.PyPostproc", KnobFilter(frontier))],
        mutator_probs={guard.part("mutator.PyMutator", KnobMutator(frontier)): 1.0},
    )
    inner = ms.search_strategy.EvolutionarySearch(
        population_size=_POPULATION,
        init_measured_ratio=0.0,
        init_min_unmeasured=1,
        max_fail_count=3,
        genetic_num_iters=_GENERATIONS,
        genetic_mutate_prob=0.85,
        genetic_max_fail_count=3,
        eps_greedy=0.15,
    )
    strategy = guard.part("search_strategy.PySearchStrategy", KnobSearch(frontier, budget, inner))
    task = space.task
    return tvm_api.tune_context(
        space.workload, task.target, generator, strategy, name=task.name, seed=seed, log=log
    )
