"""Published latencies of the models that the survey's figure compares, on an iPhone 12.

They are of other hardware, another compiler (Core ML) and other years: beside our figures they
show where a phone's time was said to go, and nothing else.  No ratio to them means anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from efcompile.report.document import SurveyClass

SOURCE: Final = (
    "the latency breakdown of the EfficientFormer paper (Li et al., 2022; the survey shows it as "
    "a figure): iPhone 12, Core ML, milliseconds as printed there"
)
MARK: Final = "not comparable: other hardware, compiler and method"


@dataclass(frozen=True)
class Published:
    """Milliseconds of a model by class, and their total as printed (rounded, so the parts may
    differ from it in the last digit).  A class that is absent was not shown.  `note` says how
    the published model differs from the one that we compile."""

    title: str
    ms: Mapping[SurveyClass, float]
    total: float
    note: str = ""


PUBLISHED: Final[Mapping[str, Published]] = {
    "timm:deit_small_patch16_224": Published(
        "DeiT-S",
        {
            "patch embed": 3.2,
            "attention": 1.7,
            "linear/conv": 4.5,
            "norm": 1.1,
            "activation": 0.05,
            "other": 0.3,
        },
        10.9,
    ),
    "timm:levit_256": Published(
        "LeViT-256",
        {
            "patch embed": 0.5,
            "attention": 0.4,
            "linear/conv": 4.1,
            "reshape": 6.3,
            "activation": 0.04,
            "other": 0.6,
        },
        11.9,
        "published with GELU (44.5 ms with HardSwish, which timm's model has)",
    ),
    "timm:poolformer_s24": Published(
        "PoolFormer-S24",
        {
            "patch embed": 3.1,
            "linear/conv": 2.0,
            "norm": 0.7,
            "activation": 0.04,
            "other": 0.3,
        },
        6.1,
    ),
    "efficientformer_l1": Published(
        "EfficientFormer-L1",
        {
            "patch embed": 0.2,
            "attention": 0.07,
            "linear/conv": 0.9,
            "reshape": 0.03,
            "norm": 0.04,
            "activation": 0.03,
            "other": 0.35,
        },
        1.6,
    ),
    "efficientformer_l3": Published(
        "EfficientFormer-L3",
        {
            "patch embed": 0.2,
            "attention": 0.4,
            "linear/conv": 1.8,
            "reshape": 0.03,
            "norm": 0.2,
            "activation": 0.03,
            "other": 0.4,
        },
        3.1,
    ),
}
"""By the name under which this compiler knows the model, in the figure's order."""
