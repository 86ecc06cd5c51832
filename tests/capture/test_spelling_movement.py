"""Movement: reshape, permute, slice, cat, expand, index; nothing else."""

import pytest
import torch
import torch.nn.functional as F

from tests.capture.spellings import Function, random, spelled

RESHAPE, PERMUTE, SLICE = "reshape.default", "permute.default", "slice.Tensor"
CAT, EXPAND, INDEX = "cat.default", "expand.default", "index.Tensor"

CASES: dict[str, tuple[Function, list[str]]] = {
    "view": (lambda x: x.view(2, -1), [RESHAPE]),
    "flatten": (lambda x: x.flatten(1, 2), [RESHAPE]),
    "unflatten": (lambda x: x.unflatten(1, (2, 2)), [RESHAPE]),
    "unsqueeze": (lambda x: x.unsqueeze(-1), [RESHAPE]),
    "squeeze": (lambda x: x[:, :1].squeeze(1), [SLICE, RESHAPE]),
    "ravel": (lambda x: x.ravel(), [RESHAPE]),
    "same_view": (lambda x: x.view(x.shape), []),
    "transpose": (lambda x: x.transpose(-1, 1), [PERMUTE]),
    "swapaxes": (lambda x: x.swapaxes(0, 1), [PERMUTE]),
    "mT": (lambda x: x.mT, [PERMUTE]),
    "T": (lambda x: x[0, 0].T, [SLICE, RESHAPE, SLICE, RESHAPE, PERMUTE]),
    "movedim": (lambda x: x.movedim(1, -1), [PERMUTE]),
    "movedims": (lambda x: x.movedim((0, 1), (2, 0)), [PERMUTE]),
    "no_permute": (lambda x: x.permute(0, 1, 2, 3), []),
    "expand": (lambda x: x[:, :1].expand(-1, 5, -1, -1), [SLICE, EXPAND]),
    "same_expand": (lambda x: x.expand_as(x), []),
    "repeat": (lambda x: x[:, :1].repeat(1, 3, 1, 1), [SLICE, EXPAND]),
    "tile": (lambda x: x.tile(2), [CAT]),
    "repeat_new": (lambda x: x.repeat(3, 1, 2, 1, 1), [RESHAPE, CAT, EXPAND]),
    "slice": (lambda x: x[:, 1:-1, ::2], [SLICE, SLICE]),
    "whole_slice": (lambda x: x[:, :, 0:], []),
    "narrow": (lambda x: x.narrow(1, 1, 2), [SLICE]),
    "select": (lambda x: x[:, -2], [SLICE, RESHAPE]),
    "split": (lambda x: x.split([1, 3], 1), [SLICE, SLICE]),
    "split_size": (lambda x: x.split(3, 1), [SLICE, SLICE]),
    "chunk": (lambda x: x.chunk(2, -1), [SLICE, SLICE]),
    "tensor_split": (lambda x: x.tensor_split(3, 1), [SLICE] * 3),
    "unbind": (lambda x: x.unbind(0), [SLICE, RESHAPE, SLICE, RESHAPE]),
    "cat": (lambda x: torch.cat([x, x], -1), [CAT]),
    "cat_of_one": (lambda x: torch.cat([x]), []),
    "stack": (lambda x: torch.stack([x, x], 1), [RESHAPE, RESHAPE, CAT]),
    "index_select": (lambda x: x.index_select(1, torch.tensor([2, 0])), [INDEX]),
    "embedding": (lambda x: F.embedding(torch.tensor([[1, 0]]), x.flatten(1)), [RESHAPE, INDEX]),
    "pad": (lambda x: F.pad(x, (1, 2, 0, 1)), ["constant_pad_nd.default"]),
    "no_pad": (lambda x: F.pad(x, (0, 0)), []),
    "reflect": (lambda x: F.pad(x, (1, 1, 1, 0), mode="reflect"), ["pad.default"]),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), [RESHAPE, PERMUTE, RESHAPE]),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), [RESHAPE, PERMUTE, RESHAPE]),
    "channel_shuffle": (
        lambda x: torch.channel_shuffle(x, 2),
        [RESHAPE, PERMUTE, RESHAPE],
    ),
    "dropout": (lambda x: F.dropout(x, 0.5, training=False), []),
    "copies": (lambda x: x.clone().contiguous().detach().to(x.device), []),
    "same_type": (lambda x: x.to(torch.float32).float(), []),
    "convert": (lambda x: x.double(), ["to.dtype"]),
    "hstack": (lambda x: torch.hstack([x, x]), [CAT]),
}


@pytest.mark.parametrize("name", CASES)
def test_one_spelling(name: str) -> None:
    function, wanted = CASES[name]
    assert spelled(function, random(2, 4, 6, 8)) == wanted
