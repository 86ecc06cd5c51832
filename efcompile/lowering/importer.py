"""A program of primitives through Relax: imported, legalised, fused, and read back as steps."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.export import ExportedProgram

from efcompile.errors import UnsupportedOpError
from efcompile.tvm_api import fused_relax, tvm


@dataclass(frozen=True)
class Step:
    """One call of the PrimFunc `func`: `args` are the names of its inputs, then outputs."""

    func: Any
    args: tuple[str, ...]


@dataclass
class Imported:
    """A program as PrimFunc calls on named values.

    `inputs` and `outputs` name values in the program's order; `buffers` are those that the
    steps write: name -> (shape, dtype).
    """

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    buffers: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)


def import_program(program: ExportedProgram) -> Imported:
    """Import `program` through Relax with its operator fusion.

    Raises `UnsupportedOpError` for what the importer or the legalisation does not know.
    """
    try:
        module = fused_relax(program)
    except Exception as error:
        raise UnsupportedOpError(f"TVM's importer failed: {error}") from error
    main = module["main"]
    reader = _Reader(module)
    for index, param in enumerate(main.params):
        reader.values[param] = f"in{index}"
        reader.found.inputs.append(f"in{index}")
    for block in main.body.blocks:
        for binding in block.bindings:
            reader.values[binding.var] = reader.value(binding.value, binding.var)
    results = reader.value(main.body.body, None)
    reader.found.outputs.extend([results] if isinstance(results, str) else results)
    return reader.found


@dataclass
class _Reader:
    """Reads Relax expressions. `values` maps variables to names, or lists of them (tuples)."""

    module: Any
    found: Imported = field(default_factory=Imported)
    values: dict[Any, Any] = field(default_factory=dict)

    def value(self, expression: Any, bound_to: Any) -> Any:
        """The name (or names) of an expression's value; calls become steps."""
        relax = tvm.relax
        if isinstance(expression, tvm.ir.Tuple | relax.Tuple):
            return [self.value(part, None) for part in expression.fields]
        if isinstance(expression, relax.TupleGetItem):
            return self.value(expression.tuple_value, None)[expression.index]
        if isinstance(expression, tvm.ir.Call):
            return self.call(expression, bound_to)
        if expression in self.values:
            return self.values[expression]
        if hasattr(expression, "value"):
            name = f"c{len(self.found.constants)}"
            self.found.constants[name] = np.ascontiguousarray(expression.value.numpy())
            return name
        raise UnsupportedOpError(f"TVM's importer made an unexpected {type(expression).__name__}")

    def call(self, call: Any, bound_to: Any) -> Any:
        """Add the step of a ``call_tir``."""
        name = getattr(call.op, "name", str(call.op))
        if name != "relax.call_tir":
            raise UnsupportedOpError(f"TVM has no loops for {name}")
        types = bound_to.ty.fields if hasattr(bound_to.ty, "fields") else [bound_to.ty]
        outputs = []
        for result in types:
            outputs.append(f"t{len(self.found.buffers)}")
            shape = tuple(int(d) for d in result.shape)
            self.found.buffers[outputs[-1]] = (shape, str(result.dtype))
        inputs = self.value(call.args[1], None)
        self.found.steps.append(Step(self.module[call.args[0]], (*inputs, *outputs)))
        return outputs if hasattr(bound_to.ty, "fields") else outputs[0]
