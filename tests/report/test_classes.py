"""Every call has one class, before the passes and after them."""

import pytest

from efcompile.bundle.manifest import CallEntry
from efcompile.ops import OPS
from efcompile.report.classes import _BY_OP, CLASSES, classify


def _calls(*described: tuple[str, str]) -> list[CallEntry]:
    """Calls from (op, sources separated by blanks)."""
    return [
        CallEntry(
            kernel=0,
            op=op,
            sources=tuple(sources.split()),
            flops=0,
            bytes=0,
            weight_bytes=0,
            activation_bytes=0,
        )
        for op, sources in described
    ]


def test_every_op_of_the_dialect_has_a_class() -> None:
    assert set(_BY_OP) == set(OPS) | {"leftover"}
    assert set(_BY_OP.values()) | {"patch embed"} == set(CLASSES)


def test_a_block_as_it_was_captured() -> None:
    """LeViT's attention, step by step."""
    attention = "blocks.0.attn"
    assert classify(
        _calls(
            ("permute", "stem.conv"),
            ("conv2d", "stem.conv"),
            ("affine", "stem.bn"),
            ("permute", "(model)"),
            ("linear", f"{attention}.qkv"),
            ("affine", f"{attention}.qkv.bn"),
            ("slice", attention),
            ("permute", attention),
            ("matmul", attention),
            ("scalar", attention),
            ("gather", attention),
            ("binary", attention),
            ("softmax", attention),
            ("matmul", attention),
            ("activation", f"{attention}.act"),
            ("linear", f"{attention}.proj"),
            ("binary", "blocks.0"),
            ("layer_norm", "norm"),
            ("mean", "(model)"),
            ("scalar", "(model)"),
        )
    ) == (
        *("patch embed",) * 3,
        "reshape",
        "linear/conv",
        "norm",
        "reshape",
        "reshape",
        *("attention",) * 6,
        "activation",
        "linear/conv",
        "other",
        "norm",
        "other",
        "other",
    )


def test_a_fused_network() -> None:
    assert classify(
        _calls(
            ("conv2d", "stem.conv stem.bn stem.act"),
            ("pool_mixer", "blocks.0.token_mixer blocks.0"),
            ("mlp", "blocks.0.mlp.fc1 blocks.0.mlp.act blocks.0.mlp.fc2 blocks.0"),
            ("norm_linear", "blocks.1.norm blocks.1.attn.qkv"),
            ("attention", "blocks.1.attn.qkv blocks.1.attn"),
            ("linear", "blocks.1.attn.proj blocks.1"),
            ("pool_linear", "(model) head"),
        )
    ) == (
        "patch embed",
        "other",
        "linear/conv",
        "linear/conv",
        "attention",
        "linear/conv",
        "linear/conv",
    )


@pytest.mark.parametrize(
    ("sources", "classes"),
    [
        # A wrapper around everything is no patch embedding, its first child is.
        (("net.0", "net.1.fc"), ("patch embed", "linear/conv")),
        # Names that only begin alike.
        (("stem", "stem2"), ("patch embed", "linear/conv")),
        # A kernel belongs where it begins, such as a stem with the norm beside it.
        (("stem norm (model)", "body.0 stem"), ("patch embed", "linear/conv")),
        # One module, or none: nothing tells the embedding from the rest.
        (("fc", "fc"), ("linear/conv", "linear/conv")),
        (("(model)", "fc"), ("linear/conv", "linear/conv")),
        (("", "fc"), ("linear/conv", "linear/conv")),
    ],
)
def test_the_patch_embedding_is_the_first_child(
    sources: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    assert classify(_calls(*(("linear", source) for source in sources))) == classes
