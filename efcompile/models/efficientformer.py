"""EfficientFormer V1: pool mixers on images, then attention on tokens, with one switch between.

Parameters carry the names timm gives them, so timm's checkpoints load as they are.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from torch import Tensor, nn

from efcompile.models.attention_v1 import Attention
from efcompile.models.blocks import TOTAL_STRIDE, LayerScale, TwoHeads

MLP_RATIO = 4


@dataclass(frozen=True)
class EfficientFormerConfig:
    """What tells the models of the family apart.

    ``depths`` and ``widths`` (channels) are per stage; the last ``attention_blocks`` blocks of
    the last stage work on tokens.
    """

    name: str
    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    attention_blocks: int


CONFIGS: Mapping[str, EfficientFormerConfig] = MappingProxyType(
    {
        config.name: config
        for config in (
            EfficientFormerConfig("efficientformer_l1", (3, 2, 6, 4), (48, 96, 224, 448), 1),
            EfficientFormerConfig("efficientformer_l3", (4, 4, 12, 6), (64, 128, 320, 512), 4),
            EfficientFormerConfig("efficientformer_l7", (6, 6, 18, 8), (96, 192, 384, 768), 8),
        )
    }
)


def _stem(width: int) -> nn.Sequential:
    """Images ``[N, 3, H, W]`` to ``[N, width, H/4, W/4]``."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, width // 2, 3, stride=2, padding=1),
            norm1=nn.BatchNorm2d(width // 2),
            act1=nn.ReLU(),
            conv2=nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            norm2=nn.BatchNorm2d(width),
            act2=nn.ReLU(),
        )
    )


def _downsample(in_channels: int, out_channels: int) -> nn.Sequential:
    """``[N, in, H, W]`` to ``[N, out, H/2, W/2]``."""
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1),
            norm=nn.BatchNorm2d(out_channels),
        )
    )


class PoolMixer(nn.Module):
    """Mean of each 3x3 neighbourhood minus the point itself; ``[N, C, H, W]`` throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.pool(x) - x)


def _conv_mlp(channels: int) -> nn.Sequential:
    """Pointwise MLP on images; every convolution has its batch norm."""
    hidden = channels * MLP_RATIO
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Conv2d(channels, hidden, 1),
            norm1=nn.BatchNorm2d(hidden),
            act=nn.GELU(),
            fc2=nn.Conv2d(hidden, channels, 1),
            norm2=nn.BatchNorm2d(channels),
        )
    )


def _token_mlp(channels: int) -> nn.Sequential:
    """Pointwise MLP on tokens."""
    hidden = channels * MLP_RATIO
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(channels, hidden),
            act=nn.GELU(),
            fc2=nn.Linear(hidden, channels),
        )
    )


class PoolBlock(nn.Module):
    """MB4D: pool mixer, then pointwise MLP, each scaled and added; ``[N, C, H, W]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token_mixer = PoolMixer()
        self.ls1 = LayerScale(channels, spatial=True)
        self.mlp = _conv_mlp(channels)
        self.ls2 = LayerScale(channels, spatial=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.token_mixer(x))
        return cast(Tensor, x + self.ls2(self.mlp(x)))


class AttentionBlock(nn.Module):
    """MB3D: attention, then MLP, each behind a layer norm, scaled and added; ``[N, T, C]``."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.token_mixer = Attention(channels, side)
        self.ls1 = LayerScale(channels, spatial=False)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = _token_mlp(channels)
        self.ls2 = LayerScale(channels, spatial=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.token_mixer(self.norm1(x)))
        return cast(Tensor, x + self.ls2(self.mlp(self.norm2(x))))


class ToTokens(nn.Module):
    """``[N, C, H, W]`` to ``[N, H * W, C]``.

    A block of its own in the stage, because checkpoints count it when they number the blocks.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


def _stage(
    in_channels: int | None, channels: int, pool_blocks: int, attention_blocks: int, side: int
) -> nn.Sequential:
    """One stage: a downsampling unless ``in_channels`` is None, pool blocks, attention blocks."""
    blocks: list[nn.Module] = [PoolBlock(channels) for _ in range(pool_blocks)]
    if attention_blocks:
        blocks.append(ToTokens())
        blocks += [AttentionBlock(channels, side) for _ in range(attention_blocks)]
    stage = nn.Sequential()
    if in_channels is not None:
        stage.add_module("downsample", _downsample(in_channels, channels))
    stage.add_module("blocks", nn.Sequential(*blocks))
    return stage


class EfficientFormer(TwoHeads):
    """An image classifier: ``[N, 3, R, R]`` to logits ``[N, num_classes]``.

    ``resolution`` R is a multiple of 32 and sizes the attention bias tables.

    Raises `InputError` for a resolution that does not fit, or, when called, for images of
    another size.
    """

    def __init__(
        self, config: EfficientFormerConfig, resolution: int = 224, num_classes: int = 1000
    ) -> None:
        super().__init__(config.widths[-1], resolution, num_classes)
        self.config = config
        self.stem = _stem(config.widths[0])
        stages = []
        for index, (depth, width) in enumerate(zip(config.depths, config.widths, strict=True)):
            last = index == len(config.depths) - 1
            attention = config.attention_blocks if last else 0
            stages.append(
                _stage(
                    config.widths[index - 1] if index else None,
                    width,
                    depth - attention,
                    attention,
                    resolution // TOTAL_STRIDE,
                )
            )
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(config.widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        tokens = self.norm(self.stages(self.stem(x)))
        return self.classify(tokens.mean(dim=1))


def efficientformer_l1(resolution: int = 224, num_classes: int = 1000) -> EfficientFormer:
    """EfficientFormer-L1: 12.3 M parameters, 1.30 GMACs at 224."""
    return EfficientFormer(CONFIGS["efficientformer_l1"], resolution, num_classes)


def efficientformer_l3(resolution: int = 224, num_classes: int = 1000) -> EfficientFormer:
    """EfficientFormer-L3: 31.4 M parameters, 3.93 GMACs at 224."""
    return EfficientFormer(CONFIGS["efficientformer_l3"], resolution, num_classes)


def efficientformer_l7(resolution: int = 224, num_classes: int = 1000) -> EfficientFormer:
    """EfficientFormer-L7: 82.2 M parameters, 10.17 GMACs at 224."""
    return EfficientFormer(CONFIGS["efficientformer_l7"], resolution, num_classes)
