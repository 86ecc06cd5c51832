"""MetaSchedule's mutator for knobs.

The stock ones change tile sizes, unrolling and parallel annotations; on a template that samples
and annotates they all return None, and the evolution is random sampling.
"""

from dataclasses import dataclass
from typing import Any

from efcompile.tuning.frontier import Frontier, replay
from efcompile.tuning.space import values_of

_FROM_ELITE = 0.5


@dataclass(frozen=True)
class KnobMutator:
    """Every other child grows from a measured vector, the rest from the given trace.

    The search's own way to bring measured vectors into its population is not used: it would
    propose those of an earlier run again.  Growing from them here does the same for the children.
    """

    frontier: Frontier

    def _initialize_with_tune_context(self, context: Any) -> None:
        pass

    def apply(self, trace: Any, _seed: int) -> Any | None:
        """`trace` with the decisions of a child, or None if none was found that is legal and
        new."""
        parent = self.frontier.parent() if self.frontier.random.random() < _FROM_ELITE else None
        child = self.frontier.mutate(parent or values_of(trace))
        return None if child is None else replay(self.frontier, trace, child)

    def clone(self) -> Any:
        raise NotImplementedError("contexts are not cloned here")
