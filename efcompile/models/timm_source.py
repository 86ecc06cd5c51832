"""timm as a source of models: imported only when asked for, with its one known trap defused."""

import difflib
import importlib.util
from types import ModuleType

import torch
from torch import nn

from efcompile.errors import InputError, ToolchainError

INSTALL = "pip install 'efcompile[timm]'"
_DETECTION_OPS = ("nms", "qnms")
_DETECTION_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_timm() -> ModuleType:
    """Import timm, or raise `ToolchainError` with the line that installs it.

    The registry's torchvision is built for CUDA; beside a CPU-only torch its extension does not
    load, and then torchvision (hence timm) fails to import because it describes two detection
    operators that the extension would have declared. No classifier calls them: declaring
    them here, without an implementation, is enough.
    """
    for package in ("timm", "torchvision"):
        if importlib.util.find_spec(package) is None:
            raise ToolchainError(f"{package} is not installed; run: {INSTALL}")
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in _DETECTION_OPS:
            torch.library.define(f"torchvision::{name}", _DETECTION_SCHEMA)
    import timm

    module: ModuleType = timm
    return module


def create_timm(name: str) -> nn.Module:
    """timm's model ``name`` with freshly initialised weights; nothing is downloaded.

    Raises `InputError` with the nearest names if timm has no such model.
    """
    timm = import_timm()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise InputError(f"timm {timm.__version__} has no model {name!r}{hint}")
    model: nn.Module = timm.create_model(name, pretrained=False)
    return model
