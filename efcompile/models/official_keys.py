"""The names the authors' EfficientFormer checkpoints use, and what they are called here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rename:
    """Replace ``pattern`` (a regular expression) by ``replacement`` wherever it occurs."""

    pattern: str
    replacement: str

    def apply(self, key: str) -> str:
        return re.sub(self.pattern, self.replacement, key)


@dataclass(frozen=True)
class Dialect:
    """One way of naming a model's weights.

    A state dict is in this dialect if some key matches each of the ``signs``. ``renames`` are
    applied to every key, in order.
    """

    name: str
    signs: tuple[str, ...]
    renames: tuple[Rename, ...]


# Stages and the embeddings between them alternate in one list.
_STAGES = tuple(Rename(rf"^network\.{2 * s}\.(\d+)\.", rf"stages.{s}.blocks.\1.") for s in range(4))
_COMMON = (
    *_STAGES,
    Rename(r"\.layer_scale_(\d)$", r".ls\1.gamma"),
    Rename(r"^dist_head\.", "head_dist."),
)

OFFICIAL_V1 = Dialect(
    "the authors' EfficientFormer",
    signs=(r"^patch_embed\.0\.", r"\.token_mixer\.qkv\."),
    renames=(
        Rename(r"^patch_embed\.0\.", "stem.conv1."),
        Rename(r"^patch_embed\.1\.", "stem.norm1."),
        Rename(r"^patch_embed\.3\.", "stem.conv2."),
        Rename(r"^patch_embed\.4\.", "stem.norm2."),
        *(
            Rename(rf"^network\.{2 * s - 1}\.{theirs}\.", f"stages.{s}.downsample.{ours}.")
            for s in (1, 2, 3)
            for theirs, ours in (("proj", "conv"), ("norm", "norm"))
        ),
        *_COMMON,
    ),
)

OFFICIAL_V2 = Dialect(
    "the authors' EfficientFormer V2",
    signs=(r"^patch_embed\.0\.", r"\.mlp\.mid\."),
    renames=(
        Rename(r"^patch_embed\.0\.", "stem.conv1.conv."),
        Rename(r"^patch_embed\.1\.", "stem.conv1.bn."),
        Rename(r"^patch_embed\.3\.", "stem.conv2.conv."),
        Rename(r"^patch_embed\.4\.", "stem.conv2.bn."),
        *(
            Rename(rf"^network\.{2 * s - 1}\.{theirs}\.", f"stages.{s}.downsample.conv.{ours}.")
            for s in (1, 2)
            for theirs, ours in (("proj", "conv"), ("norm", "bn"))
        ),
        # The last embedding has attention, and names its convolution differently.
        Rename(r"^network\.5\.(conv|bn)\.", r"stages.3.downsample.conv.\1."),
        Rename(r"^network\.5\.attn\.", "stages.3.downsample.attn."),
        *_COMMON,
        Rename(r"\.q\.local\.0\.", ".q.local."),
        Rename(r"\.(q\.proj|q|k|v|v_local|stride_conv)\.0\.", r".\1.conv."),
        Rename(r"\.(q\.proj|q|k|v|v_local|stride_conv)\.1\.", r".\1.bn."),
        Rename(r"\.proj\.1\.", ".proj.conv."),  # 0 is the activation in front of it
        Rename(r"\.proj\.2\.", ".proj.bn."),
        Rename(r"\.mlp\.(fc1|mid|fc2)\.", r".mlp.\1.conv."),
        Rename(r"\.mlp\.norm1\.", ".mlp.fc1.bn."),
        Rename(r"\.mlp\.mid_norm\.", ".mlp.mid.bn."),
        Rename(r"\.mlp\.norm2\.", ".mlp.fc2.bn."),
    ),
)

DIALECTS = (OFFICIAL_V1, OFFICIAL_V2)


def recognise(keys: Iterable[str]) -> Dialect | None:
    """The dialect these keys are written in; None for names that are used as they are."""
    keys = tuple(keys)
    for dialect in DIALECTS:
        if all(any(re.search(sign, key) for key in keys) for sign in dialect.signs):
            return dialect
    return None


def translate(state: Mapping[str, Tensor], dialect: Dialect) -> dict[str, Tensor]:
    """``state`` under our names; layer scales stored as ``[C, 1, 1]`` become ``[C]``."""
    out = {}
    for key, tensor in state.items():
        for rename in dialect.renames:
            key = rename.apply(key)
        out[key] = tensor.flatten() if key.endswith(".gamma") else tensor
    return out
