"""What holds for all tests."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests neither read nor fill the user's cache; subprocesses inherit this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "EFCOMPILE_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield
