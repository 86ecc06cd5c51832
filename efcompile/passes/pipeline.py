"""The pipeline: one ordered list of passes, and the rules any other order must keep.

Structural passes come first, on the graph as the model wrote it; `legalise` puts every
operation into the channels-last dialect; what follows is about layouts and fused kernels.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from efcompile.errors import InputError
from efcompile.passes.attention_views import AttentionViews
from efcompile.passes.base import Pass
from efcompile.passes.cancel_reshapes import CancelReshapes
from efcompile.passes.fold_attention_scale import FoldAttentionScale
from efcompile.passes.fold_batchnorm import FoldBatchnorm
from efcompile.passes.fold_layer_scale import FoldLayerScale
from efcompile.passes.fuse_attention import FuseAttention
from efcompile.passes.fuse_centre_tap import FuseCentreTap
from efcompile.passes.fuse_epilogue import FuseEpilogue
from efcompile.passes.fuse_ffn import FuseFfn
from efcompile.passes.fuse_local_values import FuseLocalValues
from efcompile.passes.fuse_mlp import FuseMlp
from efcompile.passes.fuse_norm_linear import FuseNormLinear
from efcompile.passes.fuse_pool_head import FusePoolHead
from efcompile.passes.fuse_pool_mixer import FusePoolMixer
from efcompile.passes.fuse_separable import FuseSeparable
from efcompile.passes.fuse_subsample import FuseSubsample
from efcompile.passes.hoist_slices import HoistSlices
from efcompile.passes.legalise import Legalise
from efcompile.passes.merge_heads import MergeHeads
from efcompile.passes.merge_projections import MergeProjections
from efcompile.passes.pointwise_to_linear import PointwiseToLinear
from efcompile.passes.precompute_attention_bias import PrecomputeAttentionBias
from efcompile.passes.split_fused import SplitFused, with_splits
from efcompile.passes.split_projections import SplitProjections
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

DIALECT: tuple[Pass, ...] = (
    # Before permutes cancel: the one behind its op then meets the model's own.
    FuseAttention(),
    CancelReshapes(),
    # The passes below look for linears, not for convolutions with kernel one.
    PointwiseToLinear(),
    FuseSubsample(),
    FuseCentreTap(),
    HoistSlices(),
    # Before the split: the values of which attention makes all are no copy.
    FuseLocalValues(),
    # After slices moved, so that what is split off is no more than what is read.
    SplitProjections(),
    # After the split: what is left of a merged projection is read in place.
    AttentionViews(),
    # Before the epilogues: a norm joins a linear that has none yet, a stencil takes its own.
    FuseNormLinear(),
    FusePoolMixer(),
    FuseEpilogue(),
    # Whole blocks last, out of ops that have their epilogues.
    FuseFfn(),
    # After the blocks that begin with a 1x1: it would take their second half.
    FuseSeparable(),
    FuseMlp(),
    FusePoolHead(),
)
"""On the channels-last dialect."""

PIPELINE: tuple[Pass, ...] = (*STRUCTURAL, Legalise(), *DIALECT)
"""The default pipeline."""


@dataclass(frozen=True)
class Order:
    """Where both passes occur, `first` stands before `then`, because of `reason`."""

    first: str
    then: str
    reason: str


_AFTER_NORMS = "a norm stands between a projection and what it could fold"

CONSTRAINTS: tuple[Order, ...] = (
    *(
        Order(p.name, Legalise.name, "it matches the normal form, not the dialect")
        for p in STRUCTURAL
    ),
    *(
        Order(Legalise.name, p.name, "it matches the dialect, not the normal form")
        for p in (*DIALECT, SplitFused())
    ),
    Order("swap-patch-embed", "fold-batchnorm", "its approximate form brings batch norms"),
    Order("fold-batchnorm", "fold-layer-scale", _AFTER_NORMS),
    Order("fold-batchnorm", "merge-heads", _AFTER_NORMS),
    Order("fuse-attention", "cancel-reshapes", "its permutes would stay"),
    Order("fuse-attention", "fuse-local-values", "it joins the op that this makes"),
    Order(
        "fuse-local-values", "split-projections", "the values it joins need no linear of their own"
    ),
    Order("fuse-local-values", "fuse-epilogue", "the convolution would take the addition"),
    Order("pointwise-to-linear", "fuse-epilogue", "it converts plain convolutions"),
    Order("fuse-epilogue", "fuse-ffn", "blocks are made of ops that have their epilogues"),
    Order("fuse-ffn", "fuse-separable", "it would take the second half of the blocks"),
    Order("fuse-epilogue", "fuse-mlp", "blocks are made of ops that have their epilogues"),
    *(
        Order(name, SplitFused.name, "it would fuse again what was taken apart")
        for name in ("fuse-pool-mixer", "fuse-ffn", "fuse-separable", "fuse-mlp")
    ),
)


def build_pipeline(
    passes: Sequence[Pass | str] | None = None,
    disabled: Sequence[str] = (),
    splits: Sequence[str] = (),
) -> tuple[Pass, ...]:
    """The passes to run: `passes` (names of `PIPELINE`'s, or passes) in that order, or all of
    `PIPELINE`; without those named in `disabled`.

    `splits`, signatures of fused ops that tuning found faster apart, are for `SplitFused`: it
    stands behind `PIPELINE` if there are any, and in `passes` where they name it.

    Only what is in the dialect has kernels, so `legalise` is put in its place, between the two
    phases, where `passes` lack it.

    Raises `InputError` for an unknown name, with the nearest known one, for an order that
    breaks one of `CONSTRAINTS`, and for disabling `legalise`.
    """
    given = PIPELINE if passes is None else passes
    chosen = [p if isinstance(p, Pass) else pass_named(p) for p in given]
    if passes is None or any(isinstance(p, SplitFused) for p in chosen):
        chosen = list(with_splits(chosen, splits))
    without = {pass_named(name).name for name in disabled}
    if Legalise.name in without:
        raise InputError(f"{Legalise.name} cannot be disabled: only the dialect has kernels")
    chosen = [p for p in chosen if p.name not in without]
    if Legalise.name not in [p.name for p in chosen]:
        dialect = {*(p.name for p in DIALECT), SplitFused.name}
        place = next((i for i, p in enumerate(chosen) if p.name in dialect), len(chosen))
        chosen.insert(place, Legalise())
    _check_order([p.name for p in chosen])
    return tuple(chosen)


def pass_named(name: str) -> Pass:
    """The pass of `PIPELINE` with that name, or `SplitFused`; `InputError` with the nearest one if
    there is none."""
    known = {p.name: p for p in (*PIPELINE, SplitFused())}
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
