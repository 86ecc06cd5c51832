"""The input a model says it is made for."""

from collections.abc import Mapping

from torch import nn


def default_input_size(model: nn.Module) -> tuple[int, ...] | None:
    """Shape of one example without the batch, such as ``(3, 224, 224)``; None if not told.

    Read from the model's ``default_input_size`` (the zoo, and any module that sets it), else
    from the ``pretrained_cfg["input_size"]`` that timm's models carry.
    """
    size = getattr(model, "default_input_size", None)
    if size is None:
        config = getattr(model, "pretrained_cfg", None)
        size = config.get("input_size") if isinstance(config, Mapping) else None
    return None if size is None else tuple(int(extent) for extent in size)
