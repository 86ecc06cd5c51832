import platform
import sys
from pathlib import Path

import pytest

from efcompile.bundle import toolchain
from efcompile.bundle.toolchain import object_toolchain, run, static_toolchain
from efcompile.errors import ToolchainError
from tests.bundle.programs import HOST, target_named


@pytest.fixture
def without_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither zig nor any gcc."""
    monkeypatch.setattr(toolchain, "_zig_home", lambda: None)
    monkeypatch.setattr("shutil.which", lambda name: None)


@pytest.mark.usefixtures("without_tools")
@pytest.mark.parametrize("find", [object_toolchain, static_toolchain])
def test_a_missing_cross_linker_says_what_to_install(find: object) -> None:
    other = "arm64" if platform.machine() == "x86_64" else "x86_64-linux-gnu"
    assert callable(find)
    with pytest.raises(ToolchainError, match=r"pip install 'efcompile\[cross\]'.*apt-get install"):
        find(target_named(other))


@pytest.mark.usefixtures("without_tools")
def test_apple_needs_zig() -> None:
    with pytest.raises(ToolchainError, match=r"ios16.0: run `pip install 'efcompile\[cross\]'`"):
        object_toolchain(target_named("iphone12"))


def test_this_machine_compiles_for_itself() -> None:
    assert object_toolchain(HOST).compiler == ("cc",)


def test_gcc_serves_where_zig_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_zig_home", lambda: None)
    monkeypatch.setattr(toolchain, "_native", lambda target: False)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    found = object_toolchain(target_named("arm64"))
    assert found.compiler == ("aarch64-linux-gnu-gcc",)
    assert found.archiver == ("aarch64-linux-gnu-ar",)


def test_the_environment_names_other_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFCOMPILE_CC", "ccache 'my cc'")
    monkeypatch.setenv("EFCOMPILE_AR", "my-ar")
    for find in (object_toolchain, static_toolchain):
        found = find(target_named("arm64"))
        assert (found.compiler, found.archiver) == (("ccache", "my cc"), ("my-ar",))


def test_failures_show_the_command_and_what_it_said(tmp_path: Path) -> None:
    source = tmp_path / "a b.c"
    source.write_text("int f( { return 1; }")
    with pytest.raises(ToolchainError, match=r"(?s)'.*a b\.c'.* failed with exit code 1.*error"):
        object_toolchain(HOST).compile(source, tmp_path / "a.o", [])
    with pytest.raises(ToolchainError, match="no-such-tool is not installed"):
        run(["no-such-tool"])


def test_arguments_never_meet_a_shell(tmp_path: Path) -> None:
    run(
        [sys.executable, "-c", "import sys; assert sys.argv[1] == '$(touch x); *'", "$(touch x); *"]
    )
    assert not (tmp_path / "x").exists()
