"""Loading checkpoints: told apart by the names in them, checked in full, then loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from efcompile.errors import CheckpointError
from efcompile.models import zoo
from efcompile.models.caches import drop_caches
from efcompile.models.checkpoint_file import read_state_dict
from efcompile.models.official_keys import recognise, translate

_SHOWN = 4  # examples of each kind of difference in an error message
_COUNTER = "num_batches_tracked"  # only training reads it, and old files lack it
_INDEX = "attention_bias_idxs"
_NO_WEIGHTS = (_COUNTER, _INDEX)
_RESOLUTION_DEPENDENT = ("attention_biases", _INDEX)
_HEADS = ("head.", "head_dist.")


def load_checkpoint(model: nn.Module, path: str | PathLike[str]) -> None:
    """Load the weights in ``path`` into ``model``.

    ``path`` is a ``.safetensors`` file or a file of ``torch.save``. Its names are the model's
    own, or those of the EfficientFormer authors' checkpoints, which are recognised by their
    structure and translated. Every weight must be there, none may be left over, and shapes must
    agree; numbers are converted to the model's dtypes. A constant that the model makes itself
    may be in the file if it agrees.

    Raises `CheckpointError`, listing what differs, with the model left as it was.
    """
    path = Path(path)
    state = read_state_dict(path)
    dialect = recognise(state)
    if dialect is not None:
        state = translate(state, dialect)
    difference = _compare(model, state)
    if not difference.empty:
        names = f"{dialect.name} checkpoint" if dialect is not None else "checkpoint"
        raise CheckpointError(
            f"{path} ({names}) does not fit {type(model).__name__}:\n"
            + "\n".join([difference.describe(), *_advice(difference, state)])
        )
    model.load_state_dict({key: state[key] for key in model.state_dict() if key in state})
    drop_caches(model)


@dataclass(frozen=True)
class _Difference:
    missing: Sequence[str]
    unexpected: Sequence[str]
    misshapen: Sequence[str]  # "name: shape here, shape wanted"
    contradicting: Sequence[str]  # constants with values other than the model's

    @property
    def empty(self) -> bool:
        return not (self.missing or self.unexpected or self.misshapen or self.contradicting)

    def describe(self) -> str:
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.misshapen,
            "constants of another value": self.contradicting,
        }
        return "\n".join(
            f"  {len(found)} {kind}: {'; '.join(found[:_SHOWN])}"
            + ("; ..." if len(found) > _SHOWN else "")
            for kind, found in kinds.items()
            if found
        )


def _compare(model: nn.Module, state: Mapping[str, Tensor]) -> _Difference:
    wanted = model.state_dict()
    constants = {key: buffer for key, buffer in model.named_buffers() if key not in wanted}
    return _Difference(
        missing=[key for key in wanted if key not in state and not key.endswith(_COUNTER)],
        unexpected=[key for key in state if key not in wanted and key not in constants],
        misshapen=[
            f"{key} {list(state[key].shape)} instead of {list(tensor.shape)}"
            for key, tensor in wanted.items()
            if key in state and state[key].shape != tensor.shape
        ],
        contradicting=[
            key
            for key, tensor in constants.items()
            if key in state and not _equal(state[key], tensor)
        ],
    )


def _equal(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and bool((left == right.cpu()).all())


def _advice(difference: _Difference, state: Mapping[str, Tensor]) -> list[str]:
    """What the difference probably means, and what to do about it."""
    misshapen = [entry.partition(" ")[0] for entry in difference.misshapen]
    sized = [*misshapen, *difference.contradicting]
    tables = [key for key in sized if key.endswith(_RESOLUTION_DEPENDENT)]
    heads = [key for key in sized if key.startswith(_HEADS)]
    if difference.missing or difference.unexpected or len(tables) + len(heads) < len(sized):
        name = _zoo_name(state)
        if name is not None:
            return [f"It holds the weights of {name}: create that model instead."]
        return ["It looks like another architecture, or like a part of this one."]
    advice = []
    if tables:
        advice.append("Attention tables depend on the image size: create the model for theirs.")
    if heads:
        advice.append("Heads depend on the number of classes: create the model with theirs.")
    return advice


def _zoo_name(state: Mapping[str, Tensor]) -> str | None:
    """The zoo model whose weights these are at the usual resolution and classes, if any."""
    shapes = _weight_shapes(state)
    for name in zoo.names():
        with torch.device("meta"):
            if _weight_shapes(zoo.create(name).state_dict()) == shapes:
                return name
    return None


def _weight_shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in state.items() if not key.endswith(_NO_WEIGHTS)}
