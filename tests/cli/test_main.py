"""What holds for every verb: exit codes, where output goes, what `--help` loads."""

import subprocess
import sys

import pytest

from tests.cli.command import efcompile, refused

VERBS = ("optimize", "bench", "tune", "passes", "devices", "check", "diff")


def test_help_lists_the_verbs_and_loads_neither_torch_nor_tvm() -> None:
    program = (
        "import sys\n"
        "from efcompile.cli.main import run\n"
        "try: run(['--help'])\n"
        "finally: print([m for m in ('torch', 'tvm', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in VERBS)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    said = efcompile(verb, "--help")
    assert said.code == 0
    assert f"efcompile {verb}" in said.out or f"{verb} [OPTIONS]" in said.out


@pytest.mark.parametrize(
    "arguments", [("optimise", "x"), ("optimize",), ("bench", "x", "--threads", "0")]
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    said = efcompile(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert "Error" in said.err


def test_an_error_of_ours_is_one_line_and_exits_with_1() -> None:
    line = refused("bench", "nowhere")
    assert line.startswith("error: BundleError: cannot read nowhere/manifest.json")


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "efcompile", "bench", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: BundleError: ")
    assert len(done.stderr.splitlines()) == 1
