"""Small attention modules in the layouts that the first models use."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

H, D, E = 2, 4, 6


class Interleaved(nn.Module):
    """V1 and LeViT: q, k and v interleaved per head in one projection, constant bias."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, H * (2 * D + E)), nn.Linear(H * E, 8)
        self.bias = nn.Parameter(torch.randn(H, tokens, tokens))

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        qkv = self.qkv(x).reshape(n, t, H, -1).permute(0, 2, 1, 3)
        q, k, v = torch.split(qkv, [D, D, E], 3)
        weights = ((q @ k.transpose(-2, -1)) * D**-0.5 + self.bias).softmax(-1)
        out: Tensor = self.proj((weights @ v).transpose(1, 2).reshape(n, t, H * E))
        return out


class Stacked(nn.Module):
    """DeiT: (3, heads, dim) in one projection, scaled_dot_product_attention."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 3 * H * D), nn.Linear(H * D, 8)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, H, D).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(y.transpose(1, 2).reshape(n, t, H * D))
        return out


class TalkingHeads(nn.Module):
    """V2: an image, separate projections, heads mixed before and after the softmax."""

    def __init__(self, size: tuple[int, int], merged: bool = False) -> None:
        super().__init__()
        tokens = size[0] * size[1]
        self.stem, self.merged = nn.Conv2d(3, 8, 3, padding=1), merged
        self.q, self.k = nn.Conv2d(8, H * D, 1), nn.Conv2d(8, H * D, 1)
        self.v, self.qkv = nn.Conv2d(8, H * E, 1), nn.Conv2d(8, H * (2 * D + E), 1)
        self.v_local = nn.Conv2d(H * E, H * E, 3, padding=1, groups=H * E)
        self.mix1, self.mix2 = nn.Conv2d(H, H, 1), nn.Conv2d(H, H, 1)
        self.proj = nn.Conv2d(H * E, 8, 1)
        self.bias = nn.Parameter(torch.randn(H, tokens, tokens))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        n, _, h, w = x.shape
        if self.merged:
            q, k, v = torch.split(self.qkv(x), [H * D, H * D, H * E], 1)
        else:
            q, k, v = self.q(x), self.k(x), self.v(x)
        q, k = q.reshape(n, H, D, h * w).transpose(2, 3), k.reshape(n, H, D, h * w)
        values = v.reshape(n, H, E, h * w).transpose(2, 3)
        weights = self.mix2(self.mix1((q @ k) * D**-0.5 + self.bias).softmax(-1))
        y = (weights @ values).transpose(2, 3).reshape(n, H * E, h, w) + self.v_local(v)
        out: Tensor = self.proj(F.gelu(y)).mean((2, 3))
        return out
