"""fuse-local-values: only the convolution of attention's own values, at its queries."""

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.attention_views import AttentionViews
from efcompile.passes.fuse_epilogue import FuseEpilogue
from efcompile.passes.fuse_local_values import FuseLocalValues
from efcompile.passes.split_projections import SplitProjections
from tests.passes.attention_models import TalkingHeads
from tests.passes.dialect import after, check_pass, counts, image, only, reasons, with_attention

H, D = 2, 4


class Local(nn.Module):
    """Attention over an image, plus a convolution of (something like) its values."""

    def __init__(self, kind: str = "plain") -> None:
        super().__init__()
        self.kind = kind
        self.q, self.v = nn.Conv2d(3, H * D, 1), nn.Conv2d(3, H * D, 1)
        dilation, groups = 2 if kind == "dilated" else 1, 2 if kind == "grouped" else H * D
        self.local = nn.Conv2d(
            H * D, H * D, 3, padding=dilation, dilation=dilation, groups=groups, bias=False
        )
        self.stride = 2 if kind == "strided" else 1

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]

        def heads(y: Tensor) -> Tensor:
            return y.reshape(n, H, D, -1).transpose(2, 3)

        s = self.stride
        q, v = self.q(x), self.v(x)
        y = F.scaled_dot_product_attention(heads(q[:, :, ::s, ::s]), heads(q), heads(v))
        source = {"other": q, "mirrored": v.flip(3)}.get(self.kind, v)
        local = F.conv2d(
            source, self.local.weight, None, s, self.local.padding, self.local.dilation,
            self.local.groups,
        )  # fmt: skip
        if self.kind == "active":
            local = local.relu()
        joined = y.transpose(2, 3).reshape(n, H * D, *local.shape[2:])
        out = joined + local
        return out * local if self.kind == "read" else out


@pytest.mark.parametrize("kind", ["plain", "strided"])
@pytest.mark.parametrize("size", [(1, 3, 4, 6), (2, 3, 5, 7)])
def test_one_op_is_left(kind: str, size: tuple[int, ...]) -> None:
    graph_module = with_attention(Local(kind), image(*size))
    outcome = check_pass(FuseLocalValues(), graph_module, image(*size))
    # What is left projects the model's own input to q and to v.
    assert len(outcome.rewritten) == 1 and counts(graph_module)["conv2d"] == 2
    arguments = ops.arguments(only(graph_module, "attention"))
    step = 2 if kind == "strided" else 1
    assert list(arguments["local_grid"]) == [*size[2:], step, step, 1, 1]
    assert arguments["local_bias"] is None and "binary" not in counts(graph_module)


def test_values_stay_in_the_merged_projection() -> None:
    x = image(2, 3, 3, 5)
    graph_module = with_attention(TalkingHeads((3, 5), merged=True), x)
    assert len(check_pass(FuseLocalValues(), graph_module, x).rewritten) == 1
    after([SplitProjections(), AttentionViews(), FuseEpilogue()], graph_module)
    found = counts(graph_module)
    assert not {"slice", "permute", "activation", "binary"} & set(found)
    assert (found["linear"], found["conv2d"], found["attention"]) == (2, 1, 1)
    arguments = ops.arguments(only(graph_module, "attention"))
    assert arguments["v"] is arguments["q"] and arguments["act"] == "gelu"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("other", "does not read the image of the values"),
        ("mirrored", "does not read the image of the values"),
        ("dilated", "is dilated"),
        ("read", "has other readers"),
    ],
)
def test_refusals(kind: str, reason: str) -> None:
    graph_module = with_attention(Local(kind), image(2, 3, 4, 6))
    outcome = check_pass(FuseLocalValues(), graph_module, image(2, 3, 4, 6))
    assert outcome.rewritten == () and reason in reasons(outcome)


@pytest.mark.parametrize("kind", ["grouped", "active"])
def test_no_match(kind: str) -> None:
    graph_module = with_attention(Local(kind), image(2, 3, 4, 6))
    outcome = check_pass(FuseLocalValues(), graph_module, image(2, 3, 4, 6))
    assert outcome.rewritten == () and outcome.refused == ()
