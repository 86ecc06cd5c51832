"""Who takes part: contestants that computed what eager does with what they may use, and why the
others do not."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.avx2_host import Host
from benchmarks.case import Case, relative_errors
from benchmarks.evex_meter import objection, read
from benchmarks.peers.peer import Peer, Run
from efcompile.bundle.sample import TOLERANCE


@dataclass(frozen=True)
class Lineup:
    """Callables by name, `ours` first, and for every other peer the reason."""

    runs: dict[str, Run]
    refused: dict[str, str]


def line_up(case: Case, ours: Peer, peers: Sequence[Peer], threads: int) -> Lineup:
    """Start ours and every peer on `case` and compare all outputs with eager's.

    A peer that raises or is wrong is left out with its reason: another runtime's fault is a
    result of the comparison.  Ours must be right; `SystemExit` if it is not.
    """
    runs = {ours.name: ours.start(case, threads)}
    error = relative_errors(list(runs[ours.name]()), case.expected)
    if not error <= TOLERANCE:
        raise SystemExit(f"{case.source}: {ours.name} differs from eager by {error:.1e}")
    refused = {}
    for peer in peers:
        try:
            run = peer.start(case, threads)
            error = relative_errors(list(run()), case.expected)
        except Exception as problem:
            refused[peer.name] = f"refuses: {_short(problem)}"
            continue
        if error <= TOLERANCE:
            runs[peer.name] = run
        else:
            refused[peer.name] = f"wrong result: differs from eager by {error:.1e} of its scale"
    return Lineup(runs, refused)


def without_avx512(lineup: Lineup, host: Host) -> tuple[Lineup, dict[str, int]]:
    """Those of `lineup` who run no AVX-512 instruction, and the samples taken of each.

    Where nothing is held back all stay and nothing is sampled.  The others are refused, with the
    reason; ours must not be: `SystemExit`.
    """
    if not host.held:
        return lineup, {}
    runs, refused, samples = {}, dict(lineup.refused), {}
    for name, run in lineup.runs.items():
        reason = objection(reading := read(run))
        if reason is None:
            runs[name] = run
            samples[name] = reading.samples
        elif name == "ours":
            raise SystemExit(f"ours {reason}: it was to be held to AVX2")
        else:
            refused[name] = reason
    return Lineup(runs, refused), samples


def _short(problem: Exception) -> str:
    lines = str(problem).strip().splitlines() or [""]
    return f"{type(problem).__name__}: {lines[0]}"[:200]
