"""Convolution, batch norm and GELU: what EfficientFormer V2 is built from."""

from torch import Tensor, nn


class ConvNorm(nn.Module):
    """A padded convolution with bias, then batch norm, then an activation if one is given.

    ``[N, in, H, W]`` to ``[N, out, ceil(H / stride), ceil(W / stride)]``; ``kernel`` is odd.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups
        )
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = activation if activation is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn(self.conv(x)))
        return out


def conv_norm_act(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> ConvNorm:
    """`ConvNorm` followed by exact (erf) GELU."""
    return ConvNorm(in_channels, out_channels, kernel, stride, groups, activation=nn.GELU())
