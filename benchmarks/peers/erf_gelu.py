"""ONNX models without the operator Gelu."""

import math
from typing import Any

import numpy as np


def erf_gelu(model: Any) -> Any:
    """The ONNX `model` with ``(x / 2) * (erf(x / sqrt 2) + 1)`` for every exact ``Gelu``.

    It is changed in place.  ``Gelu(approximate="tanh")`` stays.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    constants = {"gelu_root": math.sqrt(2), "gelu_one": 1.0, "gelu_half": 0.5}
    nodes = []
    for node in graph.node:
        if node.op_type != "Gelu" or any(a.s == b"tanh" for a in node.attribute):
            nodes.append(node)
            continue
        (x,), (y,) = node.input, node.output
        steps = (
            ("Div", (x, "gelu_root"), f"{y}_scaled"),
            ("Erf", (f"{y}_scaled",), f"{y}_erf"),
            ("Add", (f"{y}_erf", "gelu_one"), f"{y}_shifted"),
            # Halved before the product: MNN knows the other order for a GELU, and approximates it.
            ("Mul", (x, "gelu_half"), f"{y}_halved"),
            ("Mul", (f"{y}_halved", f"{y}_shifted"), y),
        )
        nodes += [helper.make_node(op, inputs, [output]) for op, inputs, output in steps]
    if len(nodes) > len(graph.node):
        graph.initializer.extend(
            numpy_helper.from_array(np.float32(value).reshape(()), name)
            for name, value in constants.items()
        )
    del graph.node[:]
    graph.node.extend(nodes)
    return model
