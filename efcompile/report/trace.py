"""A profile as a trace that chrome://tracing and ui.perfetto.dev show.

The format is the JSON of Chrome's trace viewer: a complete event (``"ph": "X"``) for each call,
one after the other in the network's order, and a counter of the arena's living bytes.  Which
thread did which part of a call is not recorded, so there is one lane.  Timestamps are in
microseconds; of counted instructions, a thousand stand for one.
"""

from typing import Any

from efcompile.report.document import Profile, Provenance
from efcompile.report.grouping import place
from efcompile.report.memory import alive

_PROCESS, _THREAD = 1, 1


def trace(profile: Profile, provenance: Provenance, model: str) -> dict[str, Any]:
    """The document, to be dumped as JSON; where its figures come from is under ``otherData``."""
    events = [
        _meta("process_name", f"{model} ({profile.stage})"),
        _meta("thread_name", _lane(profile, provenance)),
    ]
    start = 0.0
    living = alive(profile.tensors, len(profile.kernels))
    for row, bytes_ in zip(profile.kernels, living, strict=True):
        duration = row.cost.value / 1e3
        args: dict[str, Any] = {
            "index": row.index,
            "kernel": row.symbol,
            "op": row.op,
            "class": row.survey_class,
            "sources": list(row.sources),
            "flops": row.flops,
            "bytes": row.moved_bytes,
            profile.whole.unit: row.cost.value,
        }
        if profile.whole.unit == "ns" and row.cost.value > 0:
            args["GFLOP/s"] = round(row.flops / row.cost.value, 3)
            args["GB/s"] = round(row.moved_bytes / row.cost.value, 3)
            args["roofline share"] = row.roofline_share
        events.append(
            {
                "name": f"{row.kernel} {place(row.sources)}".rstrip(),
                "cat": row.survey_class,
                "ph": "X",
                "ts": start,
                "dur": duration,
                "pid": _PROCESS,
                "tid": _THREAD,
                "args": args,
            }
        )
        events.append(
            {"name": "arena", "ph": "C", "ts": start, "pid": _PROCESS, "args": {"bytes": bytes_}}
        )
        start += duration
    return {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {"model": model, "stage": profile.stage, **provenance.model_dump()},
    }


def _lane(profile: Profile, provenance: Provenance) -> str:
    if profile.whole.unit == "instructions":
        return "calls; 1 us stands for 1000 instructions"
    return f"calls, on {provenance.threads} thread(s)"


def _meta(name: str, value: str) -> dict[str, Any]:
    return {
        "name": name,
        "ph": "M",
        "ts": 0,
        "pid": _PROCESS,
        "tid": _THREAD,
        "args": {"name": value},
    }
