"""The survey's rows: a model as captured and as compiled, in our own figures."""

import json

import pytest

from efcompile.devices.local import Local
from efcompile.passes.pipeline import build_pipeline
from efcompile.report.classes import CLASSES
from efcompile.report.machine import Level, Machine
from efcompile.report.published import PUBLISHED
from efcompile.report.subject import subject_of
from efcompile.report.survey import Surveyed, by_class, survey, survey_json
from efcompile.targets.resolve import resolve
from tests.report.profiles import PROVENANCE, profile
from tests.small import image, small

MACHINE = Machine(1, 8, 200.0, 50.0, 40.0, 20.0, (Level("memory", 1 << 62, 10.0, 20.0),))


def test_both_ends_are_profiled() -> None:
    subject = subject_of(small(), image(), build_pipeline(None, ()), "small")
    done: list[str] = []
    found = survey(
        "small",
        subject,
        resolve("host"),
        Local(),
        1,
        5,
        machine=MACHINE,
        watch=lambda phase, what, count, total: done.append(f"{phase} {what}"),
    )
    assert (found.before.stage, found.after.stage) == ("captured", "compiled")
    assert len(found.before.kernels) > len(found.after.kernels)
    before, after = by_class(found.before), by_class(found.after)
    # What the passes take away: layout changes, and activations of their own.
    assert before["reshape"] > 0 and before["activation"] > 0
    assert after["reshape"] == after["activation"] == 0
    assert found.published is None
    assert found.provenance.kind == "measured"
    assert done == [
        "build small captured",
        "build small compiled",
        "measure small captured",
        "measure small compiled",
    ]


def test_classes_add_up() -> None:
    costs = by_class(profile())
    assert tuple(costs) == CLASSES
    assert sum(costs.values()) == pytest.approx(100)
    assert costs["reshape"] == 0


def test_published_figures_are_marked() -> None:
    row = Surveyed(
        "efficientformer_l1",
        profile(),
        profile(),
        PROVENANCE,
        PUBLISHED["efficientformer_l1"],
    )
    plain = Surveyed("net", profile(), profile(), PROVENANCE, None)
    document = json.loads(json.dumps(survey_json([row, plain], "efcompile profile")))
    first, second = document["models"]
    assert first["published"]["comparable"] is False
    assert "iPhone 12" in first["published"]["source"]
    assert first["published"]["ms"]["attention"] == 0.07
    assert first["unit"] == "ns"
    assert second["published"] is None
    assert set(document["provenances"]) == {"efficientformer_l1", "net"}
