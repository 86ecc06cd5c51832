import numpy as np
import pytest
import torch

from efcompile.kernels.reference import SCALAR, te_activation, te_function
from efcompile.ops.activation import ACTIVATIONS
from efcompile.tvm_api import te, tvm


@pytest.mark.parametrize("act", sorted(ACTIVATIONS))
def test_naive_activations_are_pytorchs(act: str) -> None:
    x = torch.linspace(-6, 6, 101)
    a = te.placeholder((101,), name="a")
    built = tvm.compile(te_function([a, te_activation(te.compute((101,), lambda i: a[i]), act)]))
    out = tvm.runtime.tensor(np.zeros(101, np.float32))
    built["main"](tvm.runtime.tensor(x.numpy()), out)
    np.testing.assert_allclose(out.numpy(), ACTIVATIONS[act](x).numpy(), rtol=2e-6, atol=1e-6)


def test_every_activation_has_one() -> None:
    assert SCALAR.keys() == ACTIVATIONS.keys()
