"""What the documentation shows works: its commands parse, its code runs, its links lead on."""

import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

import efcompile
from efcompile.cli.main import app
from tests.small import image, small

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def _blocks(page: Path, language: str) -> list[str]:
    fence = rf"^ *```{language}\n(.*?)^ *```$"
    found = re.findall(fence, page.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def _commands() -> list[str]:
    lines = [
        line for page in PAGES for block in _blocks(page, "bash") for line in block.split("\n")
    ]
    return sorted({line for line in lines if line.startswith("efcompile ")})


@pytest.mark.parametrize("command", _commands())
def test_commands_parse(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    verb: Any = typer.main.get_group(app).commands[words.pop(0)]
    while words and words[0] in getattr(verb, "commands", {}):
        verb = verb.commands[words.pop(0)]
    # Raises what the command line would say of an unknown option or a missing argument.
    verb.make_context(verb.name, words)


def test_there_are_commands_for_every_verb() -> None:
    verbs = {command.split()[1] for command in _commands()}
    assert verbs == set(typer.main.get_group(app).commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)(?:make|\./run) ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert named <= known


def test_the_readmes_benchmark_starts(tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, ROOT / "benchmarks" / "compare.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(option in done.stdout for option in ("--peers", "--threads"))


@pytest.mark.skipif(not find_spec("ziglang"), reason="pip install 'efcompile[cross]'")
@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = _blocks(ROOT / "README.md", "python")
    names = {"model": small(), "example_inputs": image(), "x": image(seed=1)}
    exec(code, names)
    wanted = small()(image(seed=1)).detach()
    assert (names["y"] - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert (tmp_path / "build" / "small.host.fp32.b1x17" / "manifest.json").exists()


def test_the_c_program_runs(tmp_path: Path) -> None:
    # Its arrays are of the size of the model it names: more than this one needs.
    compiled = efcompile.optimize(small(), image(), name="efficientformer_l1", out=tmp_path)
    bundle = compiled.bundle.path
    (program,) = _blocks(ROOT / "docs" / "bundle.md", "c")
    (tmp_path / "main.c").write_text(program)
    link: list[str | Path] = [
        bundle / "libefficientformer_l1.a",
        "-lm",
        "-lpthread",
        "-o",
        tmp_path / "main",
    ]
    compile_: list[str | Path] = [
        "cc",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{bundle}",
        tmp_path / "main.c",
        *link,
    ]
    subprocess.run(compile_, check=True)
    command = [tmp_path / "main", bundle / "weights.bin"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # The program's image is zeros, and logits behind the sixth stay zero.
    logits = [*compiled(image() * 0)[0].tolist(), 0.0]
    best = max(range(len(logits)), key=logits.__getitem__)
    assert done.stdout == f"class {best}\n"
    refused = subprocess.run([command[0], bundle / "manifest.json"], capture_output=True, text=True)
    assert refused.returncode == 1 and "not the weights.bin of this build" in refused.stderr
