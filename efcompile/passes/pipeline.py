"""The pipeline: one ordered list of passes, and the rules any other order must keep.

Structural passes come first, on the graph as the model wrote it; `legalise` puts every
operation into the channels-last dialect; what follows is about layouts and fused kernels.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from efcompile.errors import InputError
from efcompile.passes.base import Pass
from efcompile.passes.fold_attention_scale import FoldAttentionScale
from efcompile.passes.fold_batchnorm import FoldBatchnorm
from efcompile.passes.fold_layer_scale import FoldLayerScale
from efcompile.passes.merge_heads import MergeHeads
from efcompile.passes.merge_projections import MergeProjections
from efcompile.passes.precompute_attention_bias import PrecomputeAttentionBias
from efcompile.passes.swap_patch_embed import SwapPatchEmbed

STRUCTURAL: tuple[Pass, ...] = (
    # First: layer scales and biases reach the other passes as constants, not as views of them.
    PrecomputeAttentionBias(),
    # Before the norms fold: its approximate form brings batch norms of its own.
    SwapPatchEmbed(),
    FoldBatchnorm(),
    # After the norms: a norm stands between a projection and its layer scale.
    FoldLayerScale(),
    # After the norms too, for q's own; before projections merge, while q's rows are apart.
    FoldAttentionScale(),
    # After the norms: LeViT's heads have one each, and read the same input only without them.
    MergeHeads(),
    MergeProjections(),
)
"""On the normal form."""

PIPELINE: tuple[Pass, ...] = STRUCTURAL
"""The default pipeline."""


@dataclass(frozen=True)
class Order:
    """Where both passes occur, `first` stands before `then`, because of `reason`."""

    first: str
    then: str
    reason: str


CONSTRAINTS: tuple[Order, ...] = (
    Order(
        "swap-patch-embed",
        "fold-batchnorm",
        "the approximate stem brings batch norms that would stay",
    ),
    Order("fold-batchnorm", "fold-layer-scale", "a norm hides the projection from its layer scale"),
    Order("fold-batchnorm", "merge-heads", "heads with norms of their own read different inputs"),
)


def build_pipeline(
    passes: Sequence[Pass | str] | None = None, disabled: Sequence[str] = ()
) -> tuple[Pass, ...]:
    """The passes to run: `passes` (names of `PIPELINE`'s, or passes) in that order, or all of
    `PIPELINE`; without those named in `disabled`.

    Raises `InputError` for an unknown name, with the nearest known one, and for an order that
    breaks one of `CONSTRAINTS`.
    """
    chosen = [
        p if isinstance(p, Pass) else _named(p) for p in (PIPELINE if passes is None else passes)
    ]
    out = {_named(name).name for name in disabled}
    pipeline = tuple(p for p in chosen if p.name not in out)
    _check_order([p.name for p in pipeline])
    return pipeline


def _named(name: str) -> Pass:
    known = {p.name: p for p in PIPELINE}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise InputError(
            f"unknown pass {name!r}; did you mean {near[0]!r}? `efcompile passes` lists them"
        )
    return known[name]


def _check_order(names: Sequence[str]) -> None:
    for rule in CONSTRAINTS:
        firsts = [i for i, name in enumerate(names) if name == rule.first]
        thens = [i for i, name in enumerate(names) if name == rule.then]
        if firsts and thens and firsts[-1] > thens[0]:
            raise InputError(f"{rule.first} must come before {rule.then}: {rule.reason}")
