"""Shared by the tests of the models."""

from types import ModuleType

import pytest

from efcompile.errors import ToolchainError
from efcompile.models.timm_source import import_timm


@pytest.fixture(scope="session")
def timm() -> ModuleType:
    """timm, without which a test of parity with it is skipped."""
    try:
        return import_timm()
    except ToolchainError as error:
        pytest.skip(str(error))
