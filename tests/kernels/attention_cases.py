"""Attention calls that both attention kernels are tested with."""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch


@dataclass(frozen=True)
class Case:
    """Sizes of an attention, and how q, k and v lie: ``merged`` (one projection, heads outer),
    ``separate`` (each contiguous), or ``planar`` (tokens innermost, as from NCHW)."""

    batch: int = 2
    heads: int = 2
    queries: int = 13
    keys: int = 13
    key_dim: int = 8
    value_dim: int = 12
    layout: str = "merged"

    @property
    def sizes(self) -> list[int]:
        """As the op takes them."""
        return [
            self.batch,
            self.heads,
            self.queries,
            self.keys,
            self.key_dim,
            self.value_dim,
        ]

    def args(self, seed: int = 0) -> dict[str, Any]:
        """q, k, v, their views, sizes and a scale."""
        torch.manual_seed(seed)
        views: dict[str, Any] = {"sizes": self.sizes, "scale": 0.37}
        if self.layout == "merged":
            assert self.queries == self.keys
            per_head = 2 * self.key_dim + self.value_dim
            channels = self.heads * per_head
            x = torch.randn(self.batch, self.keys, channels)
            starts = (0, self.key_dim, 2 * self.key_dim)
            for name, start in zip("qkv", starts, strict=True):
                views[name] = x
                views[f"{name}_view"] = [start, self.keys * channels, per_head, channels, 1]
            return views
        for name, tokens, dim in (
            ("q", self.queries, self.key_dim),
            ("k", self.keys, self.key_dim),
            ("v", self.keys, self.value_dim),
        ):
            if self.layout == "separate":
                shape, steps = (self.batch, self.heads, tokens, dim), (dim, 1)
            else:
                shape, steps = (self.batch, self.heads, dim, tokens), (1, tokens)
            views[name] = torch.randn(shape)
            views[f"{name}_view"] = [0, prod(shape[1:]), tokens * dim, *steps]
        return views


OPERANDS = ("q", "k", "v", "bias", "mix1", "mix2", "mix2_bias", "local", "local_bias")
"""Tensor arguments in the order of the plain algorithm."""

NOTHING: dict[str, Any] = {"bias": None, "mix1": None, "mix2": None, "mix2_bias": None}
