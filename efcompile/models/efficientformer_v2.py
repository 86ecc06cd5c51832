"""EfficientFormer V2: feed-forwards with a depthwise middle, attention on feature maps.

Parameters carry the names timm gives them, so timm's checkpoints load as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from torch import Tensor, nn

from efcompile.models.attention_v2 import Attention, AttentionDownsample
from efcompile.models.blocks import LayerScale, TwoHeads
from efcompile.models.conv_norm import ConvNorm, conv_norm_act

STRIDED_STAGE = 2  # its attention works on the stage's map halved once more
ATTENTION_STAGES = (2, 3)


@dataclass(frozen=True)
class EfficientFormerV2Config:
    """What tells the models of the family apart.

    ``widths`` (channels) are per stage. ``expansions`` gives, per stage and block, how many
    times wider than the stage the feed-forward is; its lengths are the depths. The last
    ``attention_blocks`` blocks of each of the last two stages have attention.
    """

    name: str
    widths: tuple[int, int, int, int]
    expansions: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    attention_blocks: int


CONFIGS: Mapping[str, EfficientFormerV2Config] = MappingProxyType(
    {
        config.name: config
        for config in (
            EfficientFormerV2Config(
                "efficientformerv2_s0",
                (32, 48, 96, 176),
                ((4,) * 2, (4,) * 2, (4, 3, 3, 3, 4, 4), (4, 3, 3, 4)),
                2,
            ),
            EfficientFormerV2Config(
                "efficientformerv2_s1",
                (32, 48, 120, 224),
                ((4,) * 3, (4,) * 3, (4, 4, 3, 3, 3, 3, 4, 4, 4), (4, 4, 3, 3, 4, 4)),
                2,
            ),
            EfficientFormerV2Config(
                "efficientformerv2_s2",
                (32, 64, 144, 288),
                (
                    (4,) * 4,
                    (4,) * 4,
                    (4,) * 2 + (3,) * 6 + (4,) * 4,
                    (4,) * 2 + (3,) * 4 + (4,) * 2,
                ),
                4,
            ),
            EfficientFormerV2Config(
                "efficientformerv2_l",
                (40, 80, 192, 384),
                (
                    (4,) * 5,
                    (4,) * 5,
                    (4,) * 4 + (3,) * 7 + (4,) * 4,
                    (4,) * 3 + (3,) * 4 + (4,) * 3,
                ),
                6,
            ),
        )
    }
)


class Stem(nn.Sequential):
    """Images ``[N, 3, H, W]`` to ``[N, width, H/4, W/4]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.add_module("conv1", conv_norm_act(3, width // 2, 3, stride=2))
        self.add_module("conv2", conv_norm_act(width // 2, width, 3, stride=2))


class FeedForward(nn.Sequential):
    """Pointwise, depthwise 3x3, pointwise; ``[N, C, H, W]`` throughout."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.add_module("fc1", conv_norm_act(channels, hidden, 1))
        self.add_module("mid", conv_norm_act(hidden, hidden, 3, groups=hidden))
        self.add_module("fc2", ConvNorm(hidden, channels, 1))


class Downsample(nn.Module):
    """Halve a map of ``[N, in, H, W]`` by a strided convolution, plus attention if asked.

    ``attention_side`` is H = W of the input when the attention branch is there.
    """

    def __init__(
        self, in_channels: int, out_channels: int, attention_side: int | None = None
    ) -> None:
        super().__init__()
        self.conv = ConvNorm(in_channels, out_channels, 3, stride=2)
        self.attn = (
            None
            if attention_side is None
            else AttentionDownsample(in_channels, out_channels, attention_side)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out if self.attn is None else self.attn(x) + out


class FeedForwardBlock(nn.Module):
    """Feed-forward, scaled and added; ``[N, C, H, W]``."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.mlp = FeedForward(channels, channels * expansion)
        self.ls2 = LayerScale(channels, spatial=True)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.ls2(self.mlp(x)))


class AttentionBlock(FeedForwardBlock):
    """Attention, then feed-forward, each scaled and added; ``[N, C, side, side]``."""

    def __init__(self, channels: int, expansion: int, side: int, stride: int) -> None:
        super().__init__(channels, expansion)
        self.token_mixer = Attention(channels, side, stride)
        self.ls1 = LayerScale(channels, spatial=True)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.ls1(self.token_mixer(x)))


def _stage(config: EfficientFormerV2Config, index: int, side: int) -> nn.Sequential:
    """Stage ``index``, which works on maps of ``side * side``; all but the first downsample."""
    width, expansions = config.widths[index], config.expansions[index]
    attention = config.attention_blocks if index in ATTENTION_STAGES else 0
    plain = len(expansions) - attention
    stride = 2 if index == STRIDED_STAGE else 1
    stage = nn.Sequential()
    if index:
        attends = index - 1 in ATTENTION_STAGES and index in ATTENTION_STAGES
        stage.add_module(
            "downsample", Downsample(config.widths[index - 1], width, 2 * side if attends else None)
        )
    blocks: list[nn.Module] = [FeedForwardBlock(width, ratio) for ratio in expansions[:plain]]
    blocks += [AttentionBlock(width, ratio, side, stride) for ratio in expansions[plain:]]
    stage.add_module("blocks", nn.Sequential(*blocks))
    return stage


class EfficientFormerV2(TwoHeads):
    """An image classifier: ``[N, 3, R, R]`` to logits ``[N, num_classes]``.

    ``resolution`` R is a multiple of 32 and sizes the attention bias tables.

    Raises `InputError` for a resolution that does not fit, or, when called, for images of
    another size.
    """

    def __init__(
        self, config: EfficientFormerV2Config, resolution: int = 224, num_classes: int = 1000
    ) -> None:
        super().__init__(config.widths[-1], resolution, num_classes)
        self.config = config
        self.stem = Stem(config.widths[0])
        stages = (_stage(config, i, resolution // (4 << i)) for i in range(len(config.widths)))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(config.widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        features = self.norm(self.stages(self.stem(x)))
        return self.classify(features.mean(dim=(2, 3)))


def efficientformerv2_s0(resolution: int = 224, num_classes: int = 1000) -> EfficientFormerV2:
    """EfficientFormerV2-S0: 3.6 M parameters, 0.41 GMACs at 224."""
    return EfficientFormerV2(CONFIGS["efficientformerv2_s0"], resolution, num_classes)


def efficientformerv2_s1(resolution: int = 224, num_classes: int = 1000) -> EfficientFormerV2:
    """EfficientFormerV2-S1: 6.2 M parameters, 0.67 GMACs at 224."""
    return EfficientFormerV2(CONFIGS["efficientformerv2_s1"], resolution, num_classes)


def efficientformerv2_s2(resolution: int = 224, num_classes: int = 1000) -> EfficientFormerV2:
    """EfficientFormerV2-S2: 12.7 M parameters, 1.27 GMACs at 224."""
    return EfficientFormerV2(CONFIGS["efficientformerv2_s2"], resolution, num_classes)


def efficientformerv2_l(resolution: int = 224, num_classes: int = 1000) -> EfficientFormerV2:
    """EfficientFormerV2-L: 26.3 M parameters, 2.59 GMACs at 224."""
    return EfficientFormerV2(CONFIGS["efficientformerv2_l"], resolution, num_classes)
