"""The published figures are whole, and every model in them can be compiled."""

import pytest

from efcompile.models.zoo import resolve_model
from efcompile.report.classes import CLASSES
from efcompile.report.published import PUBLISHED, Published


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_parts_make_the_total(name: str) -> None:
    published: Published = PUBLISHED[name]
    assert set(published.ms) <= set(CLASSES)
    # As printed: one or two digits each.
    assert sum(published.ms.values()) == pytest.approx(published.total, abs=0.06)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if not name.startswith("timm:")])
def test_models_of_the_zoo_are_known(name: str) -> None:
    assert resolve_model(name) is not None
