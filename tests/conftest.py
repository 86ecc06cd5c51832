"""What holds for all tests."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

# A shell that runs the tests in the background has them ignore Ctrl-C, and programs they start
# inherit that; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests neither read nor fill the user's cache; subprocesses inherit this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "EFCOMPILE_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield


@pytest.fixture(autouse=True)
def _own_results() -> None:
    """No test gets a result that another one compiled."""
    if reuse := sys.modules.get("efcompile.reuse"):
        reuse.RESULTS.clear()
