"""MetaSchedule's mutator for knobs.

The stock ones change tile sizes, unrolling and parallel annotations; on a template that samples
and annotates they all return None, and the evolution is random sampling.
"""

from dataclasses import dataclass
from typing import Any

from efcompile.tuning.frontier import Frontier, replay
from efcompile.tuning.space import values_of

_STRANGERS, _FROM_ELITE = 0.3, 0.4
"""Shares of the children.  The rest change the given trace."""


@dataclass(frozen=True)
class KnobMutator:
    """Children grow from the best measured vectors, from the given trace, or from nowhere: where
    few combinations are legal, what the template samples hardly ever is.

    The search's own way to bring measured vectors into its population is not used: it would
    propose those of an earlier run again.  Growing from them here does the same for the children.
    """

    frontier: Frontier

    def _initialize_with_tune_context(self, context: Any) -> None:
        pass

    def apply(self, trace: Any, _seed: int) -> Any | None:
        """`trace` with the decisions of a child, or None if none was found that is legal and
        new."""
        frontier, chance = self.frontier, self.frontier.random.random()
        if chance < _STRANGERS:
            child = frontier.stranger()
        else:
            parent = frontier.parent() if chance < _STRANGERS + _FROM_ELITE else None
            child = frontier.mutate(parent or values_of(trace))
        return None if child is None else replay(self.frontier, trace, child)

    def clone(self) -> Any:
        raise NotImplementedError("contexts are not cloned here")
