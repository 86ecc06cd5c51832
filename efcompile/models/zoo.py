"""Names to models: the zoo's own, timm's, and any factory that can be imported."""

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType

from torch import nn

from efcompile.errors import InputError
from efcompile.models import efficientformer as v1
from efcompile.models import efficientformer_v2 as v2
from efcompile.models.timm_source import create_timm

TIMM_PREFIX = "timm:"

FACTORIES: Mapping[str, Callable[[int, int], nn.Module]] = MappingProxyType(
    {
        "efficientformer_l1": v1.efficientformer_l1,
        "efficientformer_l3": v1.efficientformer_l3,
        "efficientformer_l7": v1.efficientformer_l7,
        "efficientformerv2_s0": v2.efficientformerv2_s0,
        "efficientformerv2_s1": v2.efficientformerv2_s1,
        "efficientformerv2_s2": v2.efficientformerv2_s2,
        "efficientformerv2_l": v2.efficientformerv2_l,
    }
)


def names() -> tuple[str, ...]:
    """Every name `create` knows."""
    return tuple(FACTORIES)


def create(name: str, *, resolution: int = 224, num_classes: int = 1000) -> nn.Module:
    """The zoo's model ``name`` with freshly initialised weights, in training mode.

    It maps images ``[N, 3, resolution, resolution]`` to logits ``[N, num_classes]``.

    Raises `InputError` for an unknown name, with the nearest known one, and for a resolution
    that is not a multiple of 32.
    """
    if name not in FACTORIES:
        near = difflib.get_close_matches(name, FACTORIES, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"the zoo has {', '.join(FACTORIES)}"
        raise InputError(
            f"unknown model {name!r}; {hint} "
            f"(timm's models are written {TIMM_PREFIX}NAME, your own package.module:factory)"
        )
    return FACTORIES[name](resolution, num_classes)


def resolve_model(source: str) -> nn.Module:
    """Build the model that ``source`` names.

    ``source`` is a zoo name, ``timm:NAME``, or ``package.module:factory``, where the factory is
    callable without arguments (or already is a module) and the package may lie in the working
    directory. An exception raised inside the user's own code is left as it is.

    Raises `InputError` if nothing of that name exists or it is not an ``nn.Module``, and
    `ToolchainError` if timm is wanted but not installed.
    """
    if source.startswith(TIMM_PREFIX):
        return create_timm(source.removeprefix(TIMM_PREFIX))
    if ":" in source:
        return _call_factory(source)
    return create(source)


def title_of(source: str) -> str:
    """What a model named ``source`` is called in file names: timm's keep their origin, since
    the zoo has models of the same names."""
    if source.startswith(TIMM_PREFIX):
        return "timm_" + source.removeprefix(TIMM_PREFIX)
    return source.rpartition(":")[2]


def _call_factory(source: str) -> nn.Module:
    module_name, _, attribute = source.partition(":")
    if not module_name or not attribute:
        raise InputError(f"{source!r} is not of the form package.module:factory")
    module = _import_user_module(module_name)
    if not hasattr(module, attribute):
        near = difflib.get_close_matches(attribute, dir(module), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"module {module_name!r} has no {attribute!r}{hint}")
    made = getattr(module, attribute)
    # A class is callable and is what is wanted; a module is callable too, but takes inputs.
    if callable(made) and not isinstance(made, nn.Module):
        made = made()
    if not isinstance(made, nn.Module):
        raise InputError(f"{source!r} gives a {type(made).__name__}, not a torch.nn.Module")
    return made


def _import_user_module(name: str) -> ModuleType:
    # An installed script, unlike `python -m`, does not search the working directory.
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise InputError(
                f"no module named {missing!r} in {here} or among the installed packages"
            ) from error
        raise
