"""Writes weights under the names of the authors' checkpoints; the tables under test read them.

Written from the structure of the authors' models, not by turning those tables round.
"""

import re

from torch import Tensor, nn

# What V2's parts are called, by the sequence they are members of.
_MLP = {
    "fc1.conv": "fc1",
    "fc1.bn": "norm1",
    "mid.conv": "mid",
    "mid.bn": "mid_norm",
    "fc2.conv": "fc2",
    "fc2.bn": "norm2",
}


def official_state(model: nn.Module) -> dict[str, Tensor]:
    """``model``'s weights, and the index buffers that the authors save with them."""
    is_v2 = any(".mid." in key for key in model.state_dict())
    constants = {k: b for k, b in model.named_buffers() if k.endswith("attention_bias_idxs")}
    out = {}
    for key, tensor in (model.state_dict() | constants).items():
        theirs = _v2_name(key) if is_v2 else _v1_name(key)
        is_scale = is_v2 and ".layer_scale_" in theirs
        out[theirs] = tensor[:, None, None] if is_scale else tensor
    return out


def _common(key: str) -> str:
    key = key.replace("head_dist.", "dist_head.")
    if found := re.fullmatch(r"stages\.(\d)\.blocks\.(.+)", key):
        key = f"network.{2 * int(found[1])}.{found[2]}"
    return re.sub(r"ls(\d)\.gamma", r"layer_scale_\1", key)


def _v1_name(key: str) -> str:
    part, _, rest = key.partition(".")
    if part == "stem":
        member, _, leaf = rest.partition(".")
        return f"patch_embed.{['conv1', 'norm1', '', 'conv2', 'norm2'].index(member)}.{leaf}"
    if found := re.fullmatch(r"stages\.(\d)\.downsample\.(conv|norm)\.(\w+)", key):
        member = "proj" if found[2] == "conv" else "norm"
        return f"network.{2 * int(found[1]) - 1}.{member}.{found[3]}"
    return _common(key)


def _v2_name(key: str) -> str:
    if found := re.fullmatch(r"stem\.conv(\d)\.(conv|bn)\.(\w+)", key):
        return f"patch_embed.{3 * (int(found[1]) - 1) + (found[2] == 'bn')}.{found[3]}"
    if found := re.fullmatch(r"stages\.([12])\.downsample\.conv\.(conv|bn)\.(\w+)", key):
        member = "proj" if found[2] == "conv" else "norm"
        return f"network.{2 * int(found[1]) - 1}.{member}.{found[3]}"
    if found := re.fullmatch(r"stages\.3\.downsample\.conv\.(.+)", key):
        return f"network.5.{found[1]}"
    key = _common(key.replace("stages.3.downsample.attn", "network.5.attn"))
    if found := re.fullmatch(r"(.+\.mlp)\.(\w+\.\w+)\.(\w+)", key):
        return f"{found[1]}.{_MLP[found[2]]}.{found[3]}"
    if key.endswith(("q.local.weight", "q.local.bias")):
        return key.replace("q.local.", "q.local.0.")
    if found := re.fullmatch(r"(.+)\.(conv|bn)\.(\w+)", key):
        # An output projection has its activation in front.
        first = 1 if re.search(r"(token_mixer|attn)\.proj$", found[1]) else 0
        return f"{found[1]}.{first + (found[2] == 'bn')}.{found[3]}"
    return key
