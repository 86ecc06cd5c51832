"""MetaSchedule's postprocessor for knobs: which sampled vectors may be measured."""

from dataclasses import dataclass
from typing import Any

from efcompile.tuning.frontier import Frontier
from efcompile.tuning.space import summarise, values_of


@dataclass(frozen=True)
class KnobFilter:
    """Refuses vectors that the kernel calls illegal and those that were measured, in this run or
    an earlier one (MetaSchedule only knows this run's); notes the others' knobs in the trace."""

    frontier: Frontier

    def _initialize_with_tune_context(self, context: Any) -> None:
        pass

    def apply(self, schedule: Any) -> bool:
        """Whether the search may propose `schedule`."""
        values = values_of(schedule.trace)
        if not self.frontier.fresh(values):
            return False
        summarise(schedule, values)
        return True

    def clone(self) -> Any:
        raise NotImplementedError("contexts are not cloned here")
