"""The report as data: what `report.json` holds, and what every other format is made of.

Every figure names its provenance, so that numbers of different kinds (measured, emulated,
modelled), devices or threads can neither be compared nor added by accident.  The JSON schema of
`Report` is published as ``efcompile/report/schema.json``; `SCHEMA` grows with every change that
older readers would trip over.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from efcompile.devices.measurement import Kind

SCHEMA: Literal[1] = 1

SurveyClass = Literal[
    "patch embed", "attention", "linear/conv", "reshape", "norm", "activation", "other"
]
"""The classes by which the survey's figure breaks down a vision transformer's latency."""


class Frozen(BaseModel):
    """Immutable, and closed: an unknown field is an error, and so is a number that JSON lacks
    (infinity, NaN)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Provenance(Frozen):
    """Where numbers come from.  `date` is ISO 8601; `machine` says which hardware ran (the CPU's
    name and instruction set), or which emulator with which CPU model."""

    device: str
    target: str
    machine: str
    threads: int
    kind: Kind
    versions: dict[str, str]
    date: str


class Figure(Frozen):
    """A number.  `low` and `high` are its interval: quartiles of `samples` samples for a figure
    of one stage, a bootstrapped 95 % interval for a difference; equal to `value` where it is
    exact.  `provenance` is a key of `Report.provenances`."""

    value: float
    low: float
    high: float
    unit: Literal["ns", "instructions", "bytes", "FLOP/s", "B/s"]
    samples: int
    provenance: str


class RefusalEntry(Frozen):
    """A place that a pass left alone: the node, its module path, and why."""

    where: str
    source: str
    reason: str


class Cost(Frozen):
    """What a stage costs: `total` (nanoseconds on a clock, or instructions of one inference
    under emulation), and with instructions also its parts by class (``fmla``, ``load`` ...)."""

    total: Figure
    classes: dict[str, Figure]


class Row(Frozen):
    """A stage of the pipeline: the captured graph (name ``captured``), then one row per pass.

    `difference` is this stage's total minus the previous one's, exactly (between medians), with
    an interval; it is None for the first row, and exactly zero without being measured where the
    pass left the program as it was (`same_program`).  `leave_one_out` is the whole pipeline's
    total minus that of the pipeline without this pass: negative where the pass helps; None where
    it was not asked for or the pass cannot be left out (`required` says why).  Errors compare
    with the stage before, in eager PyTorch; `snr_db` is None where nothing differs.
    `kept` is the gate's decision, None where there was no gate.
    """

    name: str
    summary: str
    exactness: Literal["exact", "approximate"]
    nodes: int
    kernels: int
    flops: int
    moved_bytes: int
    arena_bytes: int
    bundle_bytes: int
    same_program: bool
    cost: Cost
    difference: Figure | None
    class_differences: dict[str, Figure]
    leave_one_out: Figure | None
    required: str | None
    max_abs_error: float
    relative_error: float
    snr_db: float | None
    rewritten: tuple[str, ...]
    refused: tuple[RefusalEntry, ...]
    kept: bool | None


class KernelRow(Frozen):
    """A call of a kernel in the network's order.

    `cost` is nanoseconds, waiting for all threads included, or instructions.  `flops` and
    `moved_bytes` are nominal.  `roofline_share` is the share reached of the bound that the
    machine's own peaks (`Profile.peaks`, same run) set for them; None under emulation.
    """

    index: int
    symbol: str
    kernel: str
    op: str
    survey_class: SurveyClass
    sources: tuple[str, ...]
    cost: Figure
    share: float
    flops: int
    moved_bytes: int
    roofline_share: float | None


class Tensor(Frozen):
    """A tensor of the memory plan: its place in the arena, and the calls of its first write and
    last read (indices of `Profile.kernels`)."""

    name: str
    offset: int
    bytes: int
    first: int
    last: int


class Profile(Frozen):
    """One stage, call by call.  `whole` is the whole model, measured without clocks between the
    calls, so the calls' sum can be held against it.  `peaks` has ``fma`` (FLOP/s) and ``copy``
    (B/s) of the same run; empty under emulation."""

    stage: str
    whole: Figure
    peaks: dict[str, Figure]
    kernels: tuple[KernelRow, ...]
    arena_bytes: int
    tensors: tuple[Tensor, ...]


class Ledger(Frozen):
    """Rows in the order of the passes; their differences add up to `whole`, the last stage's
    total minus the first's, exactly.  `rounds` is how often each distinct stage ran."""

    rows: tuple[Row, ...]
    whole: Figure
    rounds: int
    seconds: float


class Report(Frozen):
    """All of it.  `profiles` has the first and the last stage, if they were profiled; `command`
    is what made it."""

    schema_version: Literal[1]
    model: str
    input_shapes: tuple[tuple[int, ...], ...]
    target: str
    command: str
    provenances: dict[str, Provenance]
    ledger: Ledger
    profiles: tuple[Profile, ...]
