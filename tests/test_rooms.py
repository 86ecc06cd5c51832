"""The house keeps its order: who may import whom, what is loaded when, what tests what."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "efcompile"
TESTS = Path(__file__).parent

# From the top down; a room imports only from rooms below it, and from itself.
ROOMS = (
    "cli",
    "search",
    "api",
    "tuned_model",
    "report",
    "tuning",
    "building",
    "reuse",
    "compiler",
    "devices",
    "bundle",
    "lowering",
    "kernels",
    "passes",
    "ops",
    "capture",
    "models",
    "targets",
    "tvm_api",
    "steps",
    "errors",
)
HEIGHT = {room: -floor for floor, room in enumerate(ROOMS)}
# The package's own two modules stand above all rooms: the first offers the API by name, the
# second is the command line's.
ROOF = ("__init__", "__main__")


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _room(module: Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and all below it, functions included, but nothing that only type checkers read."""
    if isinstance(node, ast.If) and _is_type_checking(node.test):
        for statement in node.orelse:
            yield from _executed(statement)
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _executed(child)


def _imports(module: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that `module` imports, at any depth."""
    parts = ("efcompile", *module.relative_to(PACKAGE).with_suffix("").parts)
    for node in _executed(ast.parse(module.read_text(), str(module))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: -node.level]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}"


def _imported_rooms(module: Path) -> Iterator[tuple[int, str]]:
    for line, name in _imports(module):
        parts = name.split(".")
        if parts[0] == "efcompile" and len(parts) > 1 and parts[1] in HEIGHT:
            yield line, parts[1]


def test_every_module_lives_in_a_room() -> None:
    assert {_room(module) for module in _modules()} <= set(HEIGHT) | set(ROOF)


def test_rooms_import_only_from_rooms_below() -> None:
    wrong = [
        f"{module.relative_to(PACKAGE)}:{line} imports from {other}"
        for module in _modules()
        if (room := _room(module)) not in ROOF
        for line, other in _imported_rooms(module)
        if other != room and HEIGHT[other] >= HEIGHT[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_an_import_upwards_is_seen_wherever_it_hides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    module = tmp_path / "passes" / "sly.py"
    module.parent.mkdir()
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from efcompile.api import optimize\n"
        "def f():\n"
        "    import efcompile.compiler\n"
        "    from efcompile import bundle\n"
        "    from ..lowering import program\n"
    )
    assert list(_imported_rooms(module)) == [(5, "compiler"), (6, "bundle"), (7, "lowering")]


def _loads_tvm(program: str, *arguments: str) -> bool:
    """Whether running `program` in a fresh interpreter imports TVM."""
    tail = "\nimport sys; print('loaded:', 'tvm' in sys.modules or 'tvm_ffi' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program + tail, *arguments],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1] == "loaded: True"


def test_the_probe_for_tvm_sees_it() -> None:
    assert _loads_tvm("import tvm_ffi")


def test_importing_the_package_does_not_import_tvm() -> None:
    assert not _loads_tvm("import efcompile")


def test_loading_a_bundle_does_not_import_tvm(tmp_path: Path) -> None:
    assert not _loads_tvm(
        "import efcompile, efcompile.errors\n"
        "try:\n"
        f"    efcompile.load({str(tmp_path / 'absent')!r})\n"
        "except efcompile.errors.BundleError: pass\n"
        "else: raise AssertionError('an absent bundle was loaded')"
    )


def test_help_does_not_import_tvm() -> None:
    assert not _loads_tvm(
        "import runpy, sys\n"
        "sys.argv = ['efcompile', '--help']\n"
        "try: runpy.run_module('efcompile', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "else: raise AssertionError('--help did not end')"
    )


@pytest.mark.parametrize("room", ["passes", "kernels"])
def test_tests_mirror_the_room(room: str) -> None:
    modules = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}
    tests = {path.stem.removeprefix("test_") for path in (TESTS / room).glob("test_*.py")}
    assert sorted(modules - tests) == [], "modules without a test file of their name"
    assert sorted(tests - modules) == [], "test files without a module of their name"
