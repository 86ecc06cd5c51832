"""A bundle that the command line made; tests that change it copy it first."""

from pathlib import Path

import pytest

from tests.cli.command import SMALL, Said, efcompile


@pytest.fixture(scope="session")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What compiling the small model for this machine says."""
    return efcompile("optimize", SMALL, "--out", tmp_path_factory.mktemp("out"), "--threads", 2)


@pytest.fixture(scope="session")
def bundle(optimized: Said) -> Path:
    """Its bundle."""
    assert optimized.code == 0, optimized.err
    return Path(optimized.out.splitlines()[-1])


@pytest.fixture(scope="session")
def arm64_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model for arm64; skips where zig is not installed."""
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    folder = tmp_path_factory.mktemp("arm64")
    said = efcompile("optimize", SMALL, "--target", "arm64", "--out", folder)
    assert said.code == 0, said.err
    return Path(said.out.splitlines()[-1])
