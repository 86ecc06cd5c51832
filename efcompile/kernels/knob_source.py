"""Where a kernel's knobs come from: the user's records, the ones shipped, or the analytic default.

Every way of lowering a graph asks one `KnobSource`, so all stages of a report, and a profile, run
the very kernels that the compiled model has.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from efcompile.errors import TuningError
from efcompile.kernels.kernel import Kernel
from efcompile.kernels.knobs import with_values
from efcompile.kernels.tuned import Split, TargetClass, Winner, Winners
from efcompile.targets.target import Target

Origin = Literal["analytic", "shipped", "records"]
FOLDER = Path(__file__).with_name("tuned")
"""The winners that ship with the package: ``<name of a class>.json``, measured ones alone."""


@dataclass(frozen=True)
class Choice:
    """A kernel's knobs, who chose them, and what was chosen of the winners, if they were asked."""

    knobs: Any
    origin: Origin
    winner: Winner | None = None


@dataclass(frozen=True)
class _Known:
    """Winners that apply to a target, with an index by kernel and shape."""

    origin: Origin
    winners: Winners
    index: dict[tuple[str, str], Winner]


@dataclass(frozen=True, eq=False)
class KnobSource:
    """The winners in use: `records`, where two know the same kernel the first of them, then those
    that are `shipped`."""

    records: tuple[Winners, ...] = ()
    shipped: bool = True
    _found: dict[Target, tuple[_Known, ...]] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, kernel: Kernel, shape: Any, target: Target) -> Any:
        """The knobs alone of `choose`."""
        return self.choose(kernel, shape, target).knobs

    def choose(self, kernel: Kernel, shape: Any, target: Target) -> Choice:
        """The first winner for this kernel of `target`'s class whose knobs are legal on `target`
        itself, else the analytic default.

        Raises `TuningError` for knobs that the kernel does not have: they are of another version.
        """
        default = kernel.default_knobs(shape, target)
        for known in self._known(target):
            winner = known.index.get((kernel.name, repr(shape)))
            if winner is None:
                continue
            try:
                knobs = with_values(default, winner.knobs)
            except TuningError as error:
                raise TuningError(
                    f"the knobs of {kernel.name} at {winner.shape} in the {known.origin} tuning "
                    f"do not fit ({error}), so they are of another version: tune again, or compile "
                    "without them"
                ) from error
            if kernel.legal(shape, target, knobs):
                return Choice(knobs, known.origin, winner)
        return Choice(default, "analytic")

    def splits(self, target: Target) -> tuple[str, ...]:
        """Signatures of the fused ops that are better as their parts, sorted."""
        first: dict[str, Split] = {}
        for known in self._known(target):
            for split in known.winners.splits:
                first.setdefault(split.signature, split)
        return tuple(sorted(signature for signature, split in first.items() if split.pays))

    def used(
        self,
        target: Target,
        winners: Collection[tuple[Origin, Winner | None]],
        splits: Collection[str],
    ) -> tuple[Winners, ...]:
        """What was taken of this, the most important first: the `winners` that `choose` found,
        with their origin, and what is known of `splits`, signatures."""
        found: list[Winners] = []
        for known in self._known(target):
            mine = {
                "winners": tuple(w for w in known.winners.winners if (known.origin, w) in winners),
                "splits": tuple(s for s in known.winners.splits if s.signature in splits),
            }
            if any(mine.values()):
                found.append(known.winners.model_copy(update=mine))
        return tuple(found)

    def fingerprint(self, target: Target) -> str:
        """A digest of everything that this may choose for `target`."""
        digest = hashlib.sha256()
        for known in self._known(target):
            digest.update(f"{known.origin}\n{known.winners.model_dump_json()}\n".encode())
        return digest.hexdigest()

    def _known(self, target: Target) -> tuple[_Known, ...]:
        """All that applies to `target`, the most important first."""
        if target not in self._found:
            sets: list[tuple[Origin, Winners]] = [
                ("records", winners) for winners in self.records if winners.applies_to(target)
            ]
            if self.shipped and (theirs := shipped_winners(TargetClass.of(target).name)):
                sets.append(("shipped", theirs))
            self._found[target] = tuple(
                _Known(origin, winners, {(w.kernel, w.shape): w for w in winners.winners})
                for origin, winners in sets
            )
        return self._found[target]


@cache
def shipped_winners(name: str) -> Winners | None:
    """The winners shipped for the class of targets with that name, if there are any."""
    path = FOLDER / f"{name}.json"
    return Winners.load(path) if path.exists() else None


def knob_source(records: Sequence[Winners] = (), *, shipped: bool = True) -> KnobSource:
    """`records` over the winners that ship with the package, or alone."""
    return KnobSource(tuple(records), shipped)


SHIPPED = KnobSource()
"""What every graph is lowered with unless told otherwise."""
ANALYTIC = KnobSource(shipped=False)
"""The kernels' own defaults and nothing else."""
