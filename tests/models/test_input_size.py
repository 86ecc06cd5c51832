from types import ModuleType

from torch import nn

from efcompile.models.efficientformer import efficientformer_l1
from efcompile.models.input_size import default_input_size


def test_of_the_zoo() -> None:
    assert default_input_size(efficientformer_l1(resolution=96)) == (3, 96, 96)


def test_of_timm(timm: ModuleType) -> None:
    assert default_input_size(timm.create_model("mobilevit_xxs")) == (3, 256, 256)


def test_of_any_module_that_tells() -> None:
    model = nn.Linear(5, 2)
    assert default_input_size(model) is None
    model.default_input_size = [5]  # type: ignore[assignment]
    assert default_input_size(model) == (5,)
