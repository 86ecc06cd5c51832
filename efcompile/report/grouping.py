"""The calls of a profile put together: by kernel, class or module."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, get_args

from efcompile.report.classes import CLASSES, ROOT
from efcompile.report.document import KernelRow, Profile

By = Literal["kernel", "call", "class", "module"]
GROUPINGS: Final[tuple[By, ...]] = get_args(By)


@dataclass(frozen=True)
class Group:
    """Calls of one name.  `cost` is in the profile's unit (ns or instructions), `share` its part
    of all calls' cost, `cumulative` that of this group and all before.  `rates` are GFLOP/s and
    GB/s, `roofline_share` the time that the machine's bounds allow by the time taken: None where
    instructions were counted."""

    name: str
    rows: tuple[KernelRow, ...]
    cost: float
    share: float
    cumulative: float
    rates: tuple[float, float] | None
    roofline_share: float | None

    @property
    def sources(self) -> tuple[str, ...]:
        """The modules of the user's model that the calls compute."""
        return tuple(dict.fromkeys(source for row in self.rows for source in row.sources))


def groups(profile: Profile, by: By, depth: int = 2) -> tuple[Group, ...]:
    """The profile's calls by kernel (equal shapes share one), one by one in the network's order,
    by the survey's classes in its order, or by module paths cut after `depth` names; kernels
    and modules with the largest share first."""
    name: dict[By, Callable[[KernelRow], str]] = {
        "kernel": lambda row: row.symbol,
        "call": lambda row: str(row.index),
        "class": lambda row: row.survey_class,
        "module": lambda row: cut(place(row.sources), depth),
    }
    found: dict[str, list[KernelRow]] = {}
    for row in profile.kernels:
        found.setdefault(name[by](row), []).append(row)
    ordered = list(found.items())
    if by == "class":
        ordered.sort(key=lambda item: [str(c) for c in CLASSES].index(item[0]))
    elif by != "call":
        ordered.sort(key=lambda item: -_cost(item[1]))
    whole = _cost(profile.kernels) or 1.0
    shares = [_cost(rows) / whole for _, rows in ordered]
    timed = profile.whole.unit == "ns"
    return tuple(
        _group(title, rows, share, cumulative, timed)
        for (title, rows), share, cumulative in zip(
            ordered, shares, accumulate(shares), strict=True
        )
    )


def place(sources: Sequence[str]) -> str:
    """The module that holds all of `sources`: their longest common path, or where they have none
    in common, the first of them and how many more."""
    inside = [source for source in sources if source != ROOT]
    if not inside:
        return ROOT
    paths = [source.split(".") for source in inside]
    common = []
    for names in zip(*paths, strict=False):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    return ".".join(common) if common else f"{inside[0]} +{len(inside) - 1}"


def cut(path: str, depth: int) -> str:
    """The first `depth` names of a module's path."""
    return ".".join(path.split(".")[:depth])


def _cost(rows: Sequence[KernelRow]) -> float:
    return sum(row.cost.value for row in rows)


def _group(
    name: str, rows: Sequence[KernelRow], share: float, cumulative: float, timed: bool
) -> Group:
    cost = _cost(rows)
    rates = roofline = None
    if timed and cost > 0:
        flops, moved = sum(row.flops for row in rows), sum(row.moved_bytes for row in rows)
        rates = (flops / cost, moved / cost)
        roofline = sum((row.roofline_share or 0.0) * row.cost.value for row in rows) / cost
    return Group(name, tuple(rows), cost, share, cumulative, rates, roofline)
