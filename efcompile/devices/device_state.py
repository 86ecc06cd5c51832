"""How one of several devices that measure together is doing."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DeviceState:
    """A device by `name`: how many trials it has `done` and how many `failed` on it, and a `note`
    for people (why it was put aside, what went wrong last; empty when there is nothing to say).

    ``put aside`` is a device that failed several times in a row and gets no more trials; ``gone``
    one that does not answer any more.
    """

    name: str
    state: Literal["ready", "busy", "put aside", "gone"]
    done: int
    failed: int
    note: str
