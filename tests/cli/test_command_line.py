"""A command as it was given."""

import shlex
from typing import Any

import pytest
import typer

from efcompile.cli.command_line import command_line
from efcompile.cli.main import app


def _again(*words: str) -> str:
    verb: Any = typer.main.get_group(app).commands["report"]
    return command_line(verb.make_context("report", list(words)))


@pytest.mark.parametrize(
    "words",
    [
        ("efficientformer_l1",),
        ("timm:levit_256", "--target", "arm64", "--device", "qemu", "--leave-one-out"),
        ("m:f", "--checkpoint", "my weights.pth", "--batch", "2"),
        ("m:f", "--disable-pass", "fuse-ffn", "--disable-pass", "fuse-mlp", "--budget", "9.5"),
    ],
)
def test_what_was_given_comes_back_and_no_defaults(words: tuple[str, ...]) -> None:
    said = shlex.split(_again(*words))
    assert said[:3] == ["efcompile", "report", words[0]]
    assert sorted(said[3:]) == sorted(words[1:])
    assert _again(*said[2:]) == shlex.join(said)
