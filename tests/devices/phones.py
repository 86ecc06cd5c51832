"""Phones for tests: the stand-in for adb, each with storage and faults of its own."""

import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "tools" / "adb_through_qemu.py"


class StandIn:
    """A stand-in adb with its storage in `root`."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        # A run has dozens of commands: each starts this very Python, without its packages, and
        # not what `env` finds, which takes three times as long where that is a version manager.
        program = root.with_name(PROGRAM.name)
        program.write_text(f"#!{sys.executable} -IS\n{PROGRAM.read_text()}")
        program.chmod(0o755)
        self.adb = str(program)
        self._patch = monkeypatch
        monkeypatch.delenv("ANDROID_SERIAL", raising=False)
        self.set(ROOT=str(root))

    def set(self, **settings: str) -> None:
        """Change the program's variables."""
        for name, value in settings.items():
            self._patch.setenv(f"ADB_THROUGH_QEMU_{name}", value)

    @property
    def storage(self) -> Path:
        """What is ``/data/local/tmp`` there."""
        return self.root / "data" / "local" / "tmp"


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A phone that is ready and idle."""
    return StandIn(tmp_path / "phone", monkeypatch)
