"""What a device says of a bundle: one number with everything needed to compare it fairly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date as calendar_date
from statistics import median, quantiles
from typing import Literal

from efcompile.errors import DeviceError

Kind = Literal["measured", "emulated", "modelled"]


@dataclass(frozen=True)
class Measurement:
    """A number with its unit, how sure it is, and where it comes from.

    `spread` is the lower and upper quartile of `samples` samples whose median is `value`, in
    `unit` too (``ns``, ``instructions``).  `versions` names what the number depends on.
    `kind` says what was done: ``measured`` on the hardware, ``emulated`` instruction by
    instruction, or ``modelled`` by a formula; numbers of different kinds are never compared.
    `date` is ISO 8601.
    """

    value: float
    unit: str
    spread: tuple[float, float]
    samples: int
    device: str
    target: str
    threads: int
    kind: Kind
    versions: Mapping[str, str] = field(default_factory=dict, hash=False)
    date: str = field(default_factory=lambda: calendar_date.today().isoformat())

    def ratio_to(self, other: "Measurement") -> float:
        """``self / other``: below one where this one is smaller.

        Raises `DeviceError` when the two differ in kind or unit, or the other is zero.
        """
        self._check_comparable(other)
        if other.value == 0:
            raise DeviceError(f"no ratio to a measurement of zero {other.unit} ({other.device})")
        return self.value / other.value

    def minus(self, other: "Measurement") -> float:
        """``self - other``, in their unit.

        Raises `DeviceError` when the two differ in kind or unit.
        """
        self._check_comparable(other)
        return self.value - other.value

    def _check_comparable(self, other: "Measurement") -> None:
        for what, mine, theirs in (
            ("kind", self.kind, other.kind),
            ("unit", self.unit, other.unit),
        ):
            if mine != theirs:
                raise DeviceError(
                    f"measurements of different {what} cannot be compared: {mine} "
                    f"({self.device}, {self.target}) and {theirs} ({other.device}, "
                    f"{other.target}); measure both on one device"
                )


def summarise(samples: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Median and quartiles of at least one sample, as `Measurement` wants them."""
    if len(samples) == 1:
        return samples[0], (samples[0], samples[0])
    lower, _, upper = quantiles(samples, n=4, method="inclusive")
    return median(samples), (lower, upper)
