"""Profiles of the first and the last stage, in a small share of the time there is to measure."""

from functools import partial

from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle
from efcompile.devices.device import Device
from efcompile.report.document import Profile
from efcompile.report.machine import Machine
from efcompile.report.profile import ROUNDS, inputs_of, profile_bundle
from efcompile.report.watch import Watch, silent

SHARE = 0.1
"""Of the budget, for each of the two."""
_LEAST_ROUNDS = 4


def profile_ends(
    ends: dict[str, Bundle],
    device: Device,
    threads: int,
    budget: float,
    provenance: str,
    machine: Machine | None,
    watch: Watch = silent,
) -> tuple[Profile, ...]:
    """Profile the bundles of `ends`, by the name of their stage, on `device`, where `budget`
    seconds are for all measuring.  `provenance` is the key of their figures' provenance, and
    `machine` has the rates of what `device` times."""
    found = []
    for done, (stage, bundle) in enumerate(ends.items(), 1):
        profile = partial(profile_bundle, bundle, device, threads)
        if machine is not None:
            profile = partial(profile, _rounds(bundle, threads, SHARE * budget))
        found.append(profile(stage=stage, provenance=provenance, machine=machine))
        watch("profile", stage, done, len(ends))
    return tuple(found)


def _rounds(bundle: Bundle, threads: int, seconds: float) -> int:
    """How many rounds, of two inferences each, fit."""
    library, inputs = Library(bundle, threads), inputs_of(bundle)
    library.clock(inputs)
    fitting = seconds * 1e9 / (2 * max(1, library.clock(inputs)))
    return int(min(ROUNDS, max(_LEAST_ROUNDS, fitting)))
