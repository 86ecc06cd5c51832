"""The pipeline without each pass: what can go, and what cannot."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from torch.fx import GraphModule

from efcompile.devices.local import Local
from efcompile.errors import ParityError, UnsupportedOpError
from efcompile.passes.base import Match, Pass
from efcompile.report.leave_one_out import Without, leave_each_out
from efcompile.report.stages import Built, Stages
from efcompile.targets.resolve import resolve
from tests.report.blocks import Rough, Swapped, subject


@dataclass(frozen=True)
class Picky(Pass):
    """Fails where additions are not turned round."""

    name: ClassVar[str] = "picky"
    summary: ClassVar[str] = "needs the pass before it"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Nothing, or it fails."""
        if next(Swapped().match(graph_module), None) is not None:
            raise UnsupportedOpError("an addition the usual way round")
        return iter(())

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Never asked."""
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Never asked."""
        raise AssertionError


def _leave_out(folder: Path, *passes: Pass | str) -> tuple[Stages, Built, dict[str, Without]]:
    made = subject(*passes)
    stages = Stages(made, resolve("host"), Local(), 1, folder)
    whole = stages.build("whole", made.graphs[-1], made.judge(len(made.stages)))
    found = leave_each_out(stages, whole)
    return stages, whole, {p.name: w for p, w in zip(made.pipeline, found, strict=True)}


def test_what_may_go_is_built_without_it(tmp_path: Path) -> None:
    passes = ("fold-layer-scale", "legalise", "cancel-reshapes", "pointwise-to-linear")
    stages, whole, found = _leave_out(tmp_path, *passes)
    assert found["fold-layer-scale"] == Without(whole, None), "it rewrote nothing"
    without = found["cancel-reshapes"].built
    assert without is not None and without.label == "without cancel-reshapes"
    assert without.calls > whole.calls
    assert without in stages.distinct


def test_legalise_is_required_because_of_what_it_would_leave(tmp_path: Path) -> None:
    _, _, found = _leave_out(tmp_path, "fold-batchnorm", "legalise")
    assert found["legalise"].built is None
    reason = found["legalise"].required
    assert reason is not None and "more operation(s) have no kernel of ours, first" in reason
    assert found["fold-batchnorm"].required is None


def test_a_pass_that_another_needs_is_required(tmp_path: Path) -> None:
    _, _, found = _leave_out(tmp_path, Swapped(), Picky(), "legalise")
    reason = found["swapped"].required
    assert reason == (
        "without swapped, the rest fails: UnsupportedOpError: an addition the usual way round"
    )
    assert found["picky"].required is None


def test_without_an_approximate_pass_the_model_itself_is_the_judge(tmp_path: Path) -> None:
    # Held against the approximation, the exact pipeline would be wrong.
    _, whole, found = _leave_out(tmp_path, Rough(), "fold-batchnorm")
    exact = found["rough"].built
    assert exact is not None and exact is not whole
    assert found["fold-batchnorm"].built is not None


def test_a_wrong_rest_is_an_error_that_names_the_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Confused(Swapped):
        """Right on the folded graph, wrong on any other."""

        name = "confused"

        def rewrite(self, graph_module: GraphModule, match: Match) -> str:
            """Takes the same operand twice where a batch norm is left."""
            said = super().rewrite(graph_module, match)
            targets = [str(node.target) for node in graph_module.graph.nodes]
            if any("norm" in target for target in targets):
                match.anchor.update_arg(1, match.anchor.args[0])
            return said

    with pytest.raises(ParityError, match=r"stage without fold-batchnorm: .* differs from eager"):
        _leave_out(tmp_path, "fold-batchnorm", Confused())


def test_progress_is_told(tmp_path: Path) -> None:
    made = subject("legalise")
    stages = Stages(made, resolve("host"), Local(), 1, tmp_path)
    whole = stages.build("whole", made.graphs[-1], made.graphs[0])
    heard: list[tuple[object, ...]] = []
    leave_each_out(stages, whole, lambda *words: heard.append(words))
    assert heard == [("build", "without legalise", 1, 1)]
