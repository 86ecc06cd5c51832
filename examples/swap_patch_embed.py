"""Swap a large-stride patch embedding for a stem of 3x3 convolutions, on real data.

A small patch-embedding transformer is trained on scikit-learn's handwritten digits.  Its 4x4
stride-4 embedding is then replaced by two 3x3 stride-2 convolutions: without a fit, fitted to
the embedding's output on the training images, and fine-tuned for a few epochs.  Takes about a
minute on two cores:

    python examples/swap_patch_embed.py
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.fx import GraphModule

import efcompile
from efcompile.capture import capture
from efcompile.passes.manager import Stage, run_pipeline
from efcompile.passes.swap_patch_embed import SwapPatchEmbed

Data = tuple[Tensor, Tensor]
SIZE, PATCH, WIDTH, BATCH = 16, 4, 64, 64


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, T, C] -> [N, T, C]."""
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.proj(mixed.reshape(batch, tokens, width))
        return x + torch.as_tensor(self.mlp(self.norm2(x)))


class DigitTransformer(nn.Module):
    """Patch embedding, position embedding, blocks, mean over tokens, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.position = nn.Parameter(0.02 * torch.randn(1, (SIZE // PATCH) ** 2, WIDTH))
        self.blocks = nn.Sequential(Block(WIDTH, 4), Block(WIDTH, 4))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Images [N, 1, 16, 16] -> logits [N, 10]."""
        x = self.patch_embed(image).flatten(2).transpose(1, 2) + self.position
        return torch.as_tensor(self.head(self.norm(self.blocks(x)).mean(1)))


def digits() -> tuple[Data, Data]:
    """1280 training and 512 test digits, 8x8 upsampled to 16x16, in two whole batches of 64s."""
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 8 - 1
    images = F.interpolate(images, size=(SIZE, SIZE), mode="bilinear")
    order = torch.randperm(len(images))
    train, test = order[:1280], order[1280 : 1280 + 512]
    labels = torch.tensor(found.target)
    return (images[train], labels[train]), (images[test], labels[test])


def train(model: nn.Module, data: Data, epochs: int, rate: float) -> None:
    """AdamW with a cosine schedule over whole batches of 64 (a captured graph's batch is fixed)."""
    images, labels = data
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for picked in torch.split(torch.randperm(len(images)), BATCH):
            loss = F.cross_entropy(logits_of(model(images[picked])), labels[picked])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()


def logits_of(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """A captured graph returns a tuple of its outputs."""
    return output if isinstance(output, Tensor) else output[0]


@torch.no_grad()
def accuracy(model: Callable[[Tensor], Any], data: Data) -> float:
    """Share of right answers, batch by batch."""
    right = 0
    for images, labels in zip(*(torch.split(part, BATCH) for part in data), strict=True):
        right += int(torch.sum(logits_of(model(images)).argmax(1) == labels))
    return right / len(data[1])


def swapped(model: nn.Module, data: Data, steps: int) -> Stage:
    """The model's graph with a stem in place of the embedding, fitted for `steps`."""
    captured = capture(model, data[0][:BATCH])
    swap = SwapPatchEmbed(form="approximate", calibration=data[0], steps=steps)
    return run_pipeline(captured.graph_module, captured.example_inputs, [swap])[-1]


def trainable(graph_module: GraphModule) -> GraphModule:
    """Make a graph's floating-point constants parameters, but for batch norm statistics."""
    norms = [n for n in graph_module.graph.nodes if "batch_norm" in str(n.target)]
    statistics = {str(argument.target) for n in norms for argument in n.args[3:5]}
    for name, value in list(graph_module.named_buffers()):
        if value.is_floating_point() and name not in statistics:
            delattr(graph_module, name)
            setattr(graph_module, name, nn.Parameter(value.clone()))
    return graph_module


def main() -> None:
    """Train, swap, fit, fine-tune, compile; print the accuracies and errors."""
    torch.manual_seed(0)
    console = Console()
    learn, test = digits()
    model = DigitTransformer()
    with console.status("training the patch-embedding transformer"):
        train(model, learn, epochs=40, rate=2e-3)
    model.eval()
    table = Table("model", "test accuracy", title="4x4 patch embedding -> two 3x3 convolutions")
    table.add_row("as trained", f"{accuracy(model, test):.1%}")

    with console.status("swapping"):
        raw = swapped(model, learn, steps=0)
    table.add_row("after the swap, not fitted", f"{accuracy(raw.graph_module, test):.1%}")
    with console.status("fitting the stem to the embedding"):
        fitted = swapped(model, learn, steps=600)
    table.add_row("after the fit", f"{accuracy(fitted.graph_module, test):.1%}")
    with console.status("fine-tuning"):
        tuned = trainable(fitted.graph_module)
        train(tuned, learn, epochs=6, rate=3e-4)
    table.add_row("after fine-tuning", f"{accuracy(tuned, test):.1%}")
    with console.status("compiling for this machine"):
        compiled = efcompile.optimize(tuned, test[0][:BATCH], name="digits")
    table.add_row("the same, compiled", f"{accuracy(compiled, test):.1%}")

    for stage in (raw, fitted):
        console.print(*stage.record.outcome.rewritten)
    console.print(table)


if __name__ == "__main__":
    main()
