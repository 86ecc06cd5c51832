"""The survey's figure from our own measurements: where a model's time goes by class, before the
passes and after them, beside what was published for a phone."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efcompile.devices.device import Device
from efcompile.devices.local import Local
from efcompile.report.classes import CLASSES
from efcompile.report.document import Profile, Provenance, SurveyClass
from efcompile.report.machine import Machine
from efcompile.report.profile import profile_bundle, profile_provenance
from efcompile.report.published import MARK, PUBLISHED, SOURCE, Published
from efcompile.report.stages import Stages
from efcompile.report.subject import Subject
from efcompile.report.watch import Watch, silent
from efcompile.targets.target import Target

BEFORE, AFTER = "captured", "compiled"
ROUNDS = 20
"""Rounds of each profile, if nobody says: a model as captured takes long."""


@dataclass(frozen=True)
class Surveyed:
    """A model as captured and as compiled, each in our kernels; `published` is None for a model
    that the figure does not have."""

    model: str
    before: Profile
    after: Profile
    provenance: Provenance
    published: Published | None


def survey(
    model: str,
    subject: Subject,
    target: Target,
    device: Device,
    threads: int,
    rounds: int,
    machine: Machine | None = None,
    watch: Watch = silent,
) -> Surveyed:
    """Build the first and the last stage of `subject`, check both against eager PyTorch, and
    profile them.  `model` is the name under which its published figures are known.

    Raises what `Stages` and `profile_bundle` do.
    """
    last = len(subject.graphs) - 1
    profiles = []
    with tempfile.TemporaryDirectory(prefix="efcompile-") as folder:
        stages = Stages(subject, target, device, threads, Path(folder))
        built = []
        for done, (label, at) in enumerate(((BEFORE, 0), (AFTER, last)), 1):
            built.append(stages.build(label, subject.graphs[at], subject.judge(at)))
            watch("build", f"{subject.name} {label}", done, 2)
        for done, (label, entry) in enumerate(zip((BEFORE, AFTER), built, strict=True), 1):
            profiles.append(
                profile_bundle(
                    entry.bundle,
                    device,
                    threads,
                    rounds,
                    stage=label,
                    provenance=model,
                    machine=machine if isinstance(device, Local) else None,
                )
            )
            watch("measure", f"{subject.name} {label}", done, 2)
        provenance = profile_provenance(built[-1].bundle, device, threads)
    return Surveyed(model, profiles[0], profiles[1], provenance, PUBLISHED.get(model))


def by_class(profile: Profile) -> dict[SurveyClass, float]:
    """What the calls of each class cost together, in the profile's unit; all classes, in the
    figure's order."""
    costs = dict.fromkeys(CLASSES, 0.0)
    for row in profile.kernels:
        costs[row.survey_class] += row.cost.value
    return costs


def survey_json(rows: Sequence[Surveyed], command: str) -> dict[str, Any]:
    """All figures as one document; the published ones under their own key, with their mark."""
    return {
        "format": 1,
        "command": command,
        "provenances": {row.model: row.provenance.model_dump() for row in rows},
        "models": [
            {
                "model": row.model,
                "unit": row.after.whole.unit,
                "whole": {p.stage: p.whole.value for p in (row.before, row.after)},
                "classes": {p.stage: by_class(p) for p in (row.before, row.after)},
                "published": _published(row.published),
            }
            for row in rows
        ],
    }


def _published(published: Published | None) -> dict[str, Any] | None:
    if published is None:
        return None
    return {
        "title": published.title,
        "ms": dict(published.ms),
        "total_ms": published.total,
        "source": SOURCE,
        "comparable": False,
        "why": MARK,
        "note": published.note,
    }
