"""`efcompile profile`: lines that add up, files, the survey's rows, refusals."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import SMALL, Said, efcompile, refused
from tests.devices.arm64 import needs_arm64


@pytest.fixture(scope="module")
def profiled(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    """The small model's profile, with both files."""
    folder = tmp_path_factory.mktemp("profile")
    said = efcompile(
        "profile", bundle, "--rounds", 20, "--threads", 1,
        "--json", folder / "profile.json", "--trace", folder / "trace.json",
    )  # fmt: skip
    assert said.code == 0, said.err
    return said, folder


def test_every_kernel_has_a_line_with_rates_and_modules(profiled: tuple[Said, Path]) -> None:
    said, folder = profiled
    profile = _read(folder / "profile.json")["profiles"][0]
    for row in profile["kernels"]:
        assert re.search(rf"{row['kernel']} \w{{4}}.*%.*{re.escape(row['sources'][0])}", said.out)
    assert re.search(r"all calls +│ +\d", said.out)
    assert re.search(r"peaks of this machine in the same run: fma .*FLOP/s, copy .*B/s", said.out)
    assert "…" not in re.sub(r"│[^│]*│\n", "", said.out)  # the modules alone may be cut


def test_the_json_has_everything(profiled: tuple[Said, Path]) -> None:
    document = _read(profiled[1] / "profile.json")
    assert document["model"] == "small"
    assert document["command"].startswith("efcompile profile ")
    (profile,) = document["profiles"]
    provenance = document["provenances"][profile["whole"]["provenance"]]
    assert (provenance["device"], provenance["kind"]) == ("local", "measured")
    sources = {source for row in profile["kernels"] for source in row["sources"]}
    assert {"stem", "norm", "mix", "head"} <= sources


def test_the_trace_has_every_call(profiled: tuple[Said, Path]) -> None:
    calls = _read(profiled[1] / "profile.json")["profiles"][0]["kernels"]
    events = _read(profiled[1] / "trace.json")["traceEvents"]
    assert len([event for event in events if event["ph"] == "X"]) == len(calls)


@pytest.mark.parametrize(
    ("by", "line"),
    [
        ("call", r"0 conv_direct"),
        ("class", r"patch embed +│ +1 "),
        ("module", r"│ (stem|mix|head)"),
    ],
)
def test_calls_are_put_together_as_asked(bundle: Path, by: str, line: str) -> None:
    said = efcompile("profile", bundle, "--by", by, "--rounds", 4)
    assert said.code == 0, said.err
    assert re.search(line, said.out), said.out


@needs_arm64
def test_instructions_add_up_under_emulation(arm64_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    said = efcompile("profile", arm64_bundle, "--device", "qemu", "--json", path)
    assert said.code == 0, said.err
    (profile,) = _read(path)["profiles"]
    assert sum(row["cost"]["value"] for row in profile["kernels"]) == profile["whole"]["value"]
    assert "between the calls" not in said.out and "GFLOP/s" not in said.out
    again = tmp_path / "again.json"
    efcompile("profile", arm64_bundle, "--device", "qemu", "--json", again)
    assert _read(again)["profiles"] == [profile]


def test_models_are_surveyed_before_and_after(tmp_path: Path) -> None:
    path = tmp_path / "survey.json"
    said = efcompile("profile", SMALL, "--by", "class", "--rounds", 5, "--json", path)
    assert said.code == 0, said.err
    assert re.search(r"small +│ before", said.out) and "│ after" in said.out
    assert "iPhone" not in said.out  # not a model of the figure
    (model,) = _read(path)["models"]
    assert model["classes"]["captured"]["reshape"] > 0
    assert model["classes"]["compiled"]["reshape"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "colour"], "'colour' is none of kernel, call, class or module"),
        ([], "give one bundle"),
        (["a", "b"], "give one bundle"),
        (["a", "--device", "qemu", "--rounds", "5"], "qemu counts once: no --rounds"),
        (["a", "--target", "host"], "a bundle has its target"),
        (["--by", "class", "--trace", "t.json"], "a trace is of one bundle"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], message: str) -> None:
    said = efcompile("profile", *arguments)
    assert said.code == 2
    assert message in " ".join(said.err.replace("│", " ").split())


def test_what_is_no_bundle_is_told() -> None:
    assert "cannot read" in refused("profile", "efficientformer_l1")


def test_a_bundle_for_another_machine_is_told(arm64_bundle: Path) -> None:
    assert "choose another device or target" in refused("profile", arm64_bundle)


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
