import sys
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

from efcompile.errors import InputError
from efcompile.models.efficientformer import EfficientFormer
from efcompile.models.efficientformer_v2 import EfficientFormerV2
from efcompile.models.input_size import default_input_size
from efcompile.models.zoo import create, names, resolve_model

FACTORIES = """
from torch import nn
made = nn.Linear(2, 3)
class Model(nn.ReLU): pass
def build(): return nn.Linear(4, 5)
def build_nothing(): return None
def build_wrongly(): raise ZeroDivisionError
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory, importable from nowhere else."""
    name = "zoo_test_factories"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    (tmp_path / "zoo_test_broken.py").write_text("import not_installed_anywhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_names() -> None:
    assert names() == (
        "efficientformer_l1",
        "efficientformer_l3",
        "efficientformer_l7",
        "efficientformerv2_s0",
        "efficientformerv2_s1",
        "efficientformerv2_s2",
        "efficientformerv2_l",
    )


def test_every_name_makes_its_own_model() -> None:
    for name in names():
        model = create(name, resolution=64, num_classes=3)
        assert isinstance(model, EfficientFormer | EfficientFormerV2)
        assert model.config.name == name
        assert default_input_size(model) == (3, 64, 64)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="'efficientformer_l2'; did you mean efficientformer_l"):
        create("efficientformer_l2")
    with pytest.raises(InputError, match="did you mean efficientformerv2_s0"):
        resolve_model("efficientformer_v2_s0")


def test_name_like_nothing_lists_the_zoo() -> None:
    with pytest.raises(InputError, match=r"the zoo has efficientformer_l1, .*timm:NAME"):
        create("xyz")


def test_resolve_a_zoo_name() -> None:
    assert isinstance(resolve_model("efficientformer_l1"), EfficientFormer)


def test_resolve_a_timm_name(timm: ModuleType) -> None:
    assert type(resolve_model("timm:levit_128s")).__name__ == "LevitDistilled"


@pytest.mark.parametrize(
    ("attribute", "kind"), [("build", nn.Linear), ("Model", nn.ReLU), ("made", nn.Linear)]
)
def test_resolve_a_factory(factories: str, attribute: str, kind: type[nn.Module]) -> None:
    assert isinstance(resolve_model(f"{factories}:{attribute}"), kind)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("zoo_test_nowhere:build", "no module named 'zoo_test_nowhere' in"),
        ("zoo_test_factories.deeper:build", "no module named 'zoo_test_factories.deeper' in"),
        ("zoo_test_factories:bild", "has no 'bild'; did you mean build"),
        ("zoo_test_factories:build_nothing", "gives a NoneType, not a torch.nn.Module"),
        ("zoo_test_factories:", "not of the form package.module:factory"),
        (":build", "not of the form package.module:factory"),
    ],
)
def test_what_is_no_factory(factories: str, source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_model(source)


def test_errors_of_the_users_code_are_left_alone(factories: str) -> None:
    with pytest.raises(ZeroDivisionError):
        resolve_model(f"{factories}:build_wrongly")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        resolve_model("zoo_test_broken:build")
