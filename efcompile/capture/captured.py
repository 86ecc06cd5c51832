"""`capture`: a module and example inputs to a graph in normal form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from efcompile.capture.aliases import ViewWrite
from efcompile.capture.examples import resolve_inputs
from efcompile.capture.isolation import isolated_copy
from efcompile.capture.normal_form import normalise
from efcompile.capture.trace import trace
from efcompile.errors import CaptureError


@dataclass(frozen=True)
class Captured:
    """A captured model.

    `graph_module` is in normal form and returns a flat tuple of tensors, which
    ``pytree.tree_unflatten(outputs, output_spec)`` puts into the structure the module returns.
    `notes` tell the user what capture did on its own account.
    """

    name: str
    graph_module: GraphModule
    example_inputs: tuple[Tensor, ...]
    output_spec: pytree.TreeSpec
    notes: tuple[str, ...]


def capture(model: nn.Module, example_inputs: Tensor | Sequence[Tensor] | None = None) -> Captured:
    """Capture `model` at the batch and resolution of `example_inputs`.

    `example_inputs` holds one floating-point tensor per argument of ``forward``; without it the
    size that the model itself states is used, at batch one.  The module is not changed: a deep
    copy in eval mode, without the tensors that earlier runs cached, is what gets traced.

    Raises `InputError` for inputs of the wrong kind, `CaptureError` if the model does not say
    what it takes, does not run on the inputs, or is not a static graph of tensors.
    """
    inputs = resolve_inputs(model, example_inputs)
    try:
        traced = trace(lambda: isolated_copy(model), inputs)
        graph_module = normalise(traced, inputs)
    except ViewWrite:
        try:
            traced = trace(lambda: isolated_copy(model), inputs, functional=True)
            graph_module = normalise(traced, inputs)
        except ViewWrite as error:
            raise CaptureError(
                f"{name_of(model)} writes in place to memory it reads under another name "
                f"(operation {error}): write to a new tensor instead"
            ) from error
    notes = _notes(model)
    return Captured(name_of(model), graph_module, inputs, traced.output_spec, notes)


def name_of(model: nn.Module) -> str:
    """A short name for `model`: its architecture if it states one (as timm's do), else its
    class."""
    config = getattr(model, "pretrained_cfg", None)
    architecture = config.get("architecture") if isinstance(config, Mapping) else None
    return str(architecture or type(model).__name__.lower())


def _notes(model: nn.Module) -> tuple[str, ...]:
    if any(module.training for module in model.modules()):
        return ("the model was in training mode: a copy in eval mode was captured",)
    return ()
