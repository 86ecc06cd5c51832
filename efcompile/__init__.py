"""efcompile: fused, verified, shippable code from PyTorch vision models, for ARM and x86.

``optimize(model, target="arm64")`` compiles, ``load(path)`` opens what it wrote.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from efcompile.api import CompiledModel, load, optimize

__all__ = ["CompiledModel", "load", "optimize"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; `efcompile --help` should not.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from efcompile import api

    return getattr(api, name)
