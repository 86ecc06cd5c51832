"""A report as a real run would make it, without one: EfficientFormer-like, numbers made up."""

from dataclasses import dataclass, field
from random import Random
from typing import get_args

from efcompile.devices.measurement import Kind
from efcompile.report.document import (
    SCHEMA,
    Cost,
    Figure,
    KernelRow,
    Ledger,
    Profile,
    Provenance,
    RefusalEntry,
    Report,
    Row,
    SurveyClass,
    Tensor,
)

CLASSES: tuple[SurveyClass, ...] = get_args(SurveyClass)
SHARES = {"fmla": 0.68, "simd": 0.06, "load": 0.14, "store": 0.04, "branch": 0.02, "other": 0.06}

# Pass, what it brings in thousandths of the first stage's cost, kernels it saves.
PASSES = (
    ("precompute-attention-bias", -6, 5, "turns gathers and resizes of constants into constants"),
    ("swap-patch-embed", 0, 0, "makes a patch convolution one product"),
    ("fold-batchnorm", -148, 75, "folds batch norms into their neighbours"),
    ("fold-layer-scale", -41, 24, "folds layer scales into the linears before them"),
    ("fold-attention-scale", 0, 0, "folds the scale of the scores into the queries"),
    ("merge-heads", -2, 2, "makes the mean of two heads one head"),
    ("merge-projections", 0, 0, "joins linears that read the same tensor"),
    ("legalise", 3, 0, "puts every operation into the channels-last dialect"),
    ("fuse-attention", -19, 12, "makes attention one kernel"),
    ("cancel-reshapes", -37, 25, "takes out permutes that undo each other"),
    ("pointwise-to-linear", -24, 0, "makes 1x1 convolutions linears"),
    ("fuse-subsample", 0, 0, "reads every second pixel where it is used"),
    ("fuse-norm-linear", 12, 3, "normalises rows on their way into a linear"),
    ("fuse-pool-mixer", -33, 18, "makes pooling, subtraction and residual one kernel"),
    ("fuse-epilogue", -96, 71, "puts activations and residuals behind their producers"),
    ("fuse-mlp", -21, 13, "makes both linears of an MLP one kernel"),
    ("fuse-pool-head", -1, 1, "averages on the way into the head"),
)
OPS = (
    ("conv2d", "conv_direct", "patch embed"),
    ("conv2d", "conv_direct", "linear/conv"),
    ("mlp", "mlp", "linear/conv"),
    ("linear", "gemm", "linear/conv"),
    ("attention", "attention", "attention"),
    ("pool_mixer", "pool_mixer", "other"),
    ("layer_norm", "layer_norm", "norm"),
    ("permute", "strided_copy", "reshape"),
    ("gelu", "activation_map", "activation"),
)


@dataclass
class Factory:
    """Makes the parts of a report; the same `seed` makes the same ones."""

    kind: Kind = "measured"
    device: str = "local"
    threads: int = 1
    seed: int = 0
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    @property
    def timed(self) -> bool:
        return self.kind != "emulated"

    def figure(self, value: float, spread: float = 0.0) -> Figure:
        exact = not self.timed
        return Figure(
            value=round(value),
            low=round(value if exact else value - spread),
            high=round(value if exact else value + spread * 1.2),
            unit="ns" if self.timed else "instructions",
            samples=1 if exact else 41,
            provenance=self.device,
        )

    def provenance(self) -> Provenance:
        measured = "AMD EPYC 9R14 96-Core Processor, x86-64-v4"
        emulated = "qemu-aarch64 as cortex-a76, +dotprod,+fp16"
        return Provenance(
            device=self.device,
            target="host" if self.timed else "arm64",
            machine=measured if self.timed else emulated,
            threads=self.threads,
            kind=self.kind,
            versions={"efcompile": "0.1.0", "torch": "2.13.0", "apache-tvm": "0.27.0.post1"},
            date="2026-11-22",
        )

    def rows(self, *, alone: bool = False, gated: bool = False) -> tuple[Row, ...]:
        total = 24_617_345 if self.timed else 1_013_442_871
        kernels, first = 291, total
        rows = [self.row("captured", "the model as it is", total, None, kernels)]
        for name, thousandths, fewer, summary in PASSES:
            change = round(first * (thousandths + self.random.random()) / 1000)
            change = change if thousandths else 0
            total, kernels = total + change, kernels - fewer
            row = self.row(name, summary, total, change, kernels, rewritten=fewer)
            rows.append(row)
        if alone or gated:
            rows[1:] = [self._judged(row, gated) for row in rows[1:]]
        return tuple(rows)

    def _judged(self, row: Row, gated: bool) -> Row:
        assert row.difference is not None
        required = "the lowering needs the dialect" if row.name == "legalise" else None
        alone = None if required else self.figure(row.difference.value * 0.8, 60_000)
        kept = None if not gated else row.name != "fuse-norm-linear"
        return row.model_copy(update={"leave_one_out": alone, "required": required, "kept": kept})

    def row(
        self,
        name: str,
        summary: str,
        total: int,
        change: int | None,
        kernels: int,
        *,
        rewritten: int = 0,
    ) -> Row:
        cost = self.figure(total, total * 0.006)
        shares = SHARES if not self.timed else {}
        same = change == 0
        difference = None
        if change is not None:
            difference = self.figure(change, 0 if same else 40_000 + abs(change) * 0.08)
        refused = tuple(
            RefusalEntry(
                where=f"aten_add_{index}",
                source=f"network.{index // 4}.{index % 4}.mlp",
                reason="the norm has several users" if index % 3 else "its axis is not the last",
            )
            for index in range(self.random.choice((0, 0, 1, 4, 14)) if change is not None else 0)
        )
        return Row(
            name=name,
            summary=summary,
            exactness="exact",
            nodes=kernels + 24,
            kernels=kernels,
            flops=2_607_000_000 + kernels * 100_000,
            moved_bytes=46_000_000 + kernels * 420_000,
            arena_bytes=1_806_336 + kernels * 14_112,
            bundle_bytes=47_400_000 + kernels * 900,
            same_program=same,
            cost=Cost(
                total=cost,
                classes={key: self.figure(total * share) for key, share in shares.items()},
            ),
            difference=difference,
            class_differences={}
            if change is None
            else {key: self.figure(change * share) for key, share in shares.items()},
            leave_one_out=None,
            required=None,
            max_abs_error=0.0 if not rewritten else 4.1e-6,
            relative_error=0.0 if not rewritten else 3.2e-7,
            snr_db=None if not rewritten else 128.4,
            rewritten=tuple(f"network.{index}: folded" for index in range(rewritten)),
            refused=refused,
            kept=None,
        )

    def profile(self, stage: str, count: int, whole: float) -> Profile:
        weights = [self.random.random() ** 3 + 0.02 for _ in range(count)]
        kernels = tuple(
            self.kernel(index, whole * weight / sum(weights) * 0.99, whole)
            for index, weight in enumerate(weights)
        )
        peaks: dict[str, Figure] = {}
        if self.timed:
            for name, value, unit in (("fma", 134e9, "FLOP/s"), ("copy", 11.4e9, "B/s")):
                update = {"value": value, "low": value, "high": value * 1.01, "unit": unit}
                peaks[name] = self.figure(0).model_copy(update=update)
        tensors = self.tensors(count)
        arena = max((tensor.offset + tensor.bytes for tensor in tensors), default=0)
        return Profile(
            stage=stage,
            whole=self.figure(whole, whole * 0.005),
            peaks=peaks,
            kernels=kernels,
            arena_bytes=arena,
            tensors=tensors,
        )

    def kernel(self, index: int, cost: float, whole: float) -> KernelRow:
        op, kernel, survey_class = OPS[0] if index == 0 else self.random.choice(OPS[1:])
        figure = self.figure(cost, cost * 0.02)
        return KernelRow(
            index=index,
            symbol=f"{kernel}_{index:02d}",
            kernel=f"{kernel}_56x56x48_{index:02d}",
            op=op,
            survey_class=next(name for name in CLASSES if name == survey_class),
            sources=tuple(f"network.{index // 8}.{index % 8}.{part}" for part in ("mlp", "norm")),
            cost=figure,
            share=figure.value / whole,
            flops=round(cost * 100) if op != "permute" else 0,
            moved_bytes=round(cost * 6),
            roofline_share=self.random.uniform(0.2, 1.02) if self.timed else None,
        )

    def tensors(self, calls: int) -> tuple[Tensor, ...]:
        """A stack of two: the next tensor takes the place that the one before the last had."""
        found = []
        for index in range(calls - 1):
            size = max(12_544, 602_112 >> (4 * index // calls))
            last = min(calls - 1, index + (4 if index % 5 == 0 else 1))
            place = index % 3
            found.append(
                Tensor(name=f"t{index}", offset=place * 602_112, bytes=size, first=index, last=last)
            )
        return tuple(found)

    def report(
        self,
        *,
        model: str = "efficientformer_l1",
        profiles: bool = True,
        alone: bool = False,
        gated: bool = False,
    ) -> Report:
        rows = self.rows(alone=alone, gated=gated)
        first, last = rows[0].cost.total.value, rows[-1].cost.total.value
        made: tuple[Profile, ...] = ()
        if profiles:
            made = (
                self.profile(rows[0].name, rows[0].kernels, first),
                self.profile(rows[-1].name, rows[-1].kernels, last),
            )
        return Report(
            schema_version=SCHEMA,
            model=model,
            input_shapes=((1, 3, 224, 224),),
            target="host" if self.timed else "arm64",
            command=f"efcompile report {model} --device {self.device} --html out.html",
            provenances={self.device: self.provenance()},
            ledger=Ledger(
                rows=rows,
                whole=self.figure(last - first, 90_000),
                rounds=41 if self.timed else 1,
                seconds=38.2,
            ),
            profiles=made,
        )


def measured(**options: bool) -> Report:
    """From this machine: times with intervals, peaks, rooflines."""
    return Factory().report(**options)  # type: ignore[arg-type]


def emulated(**options: bool) -> Report:
    """From the emulator: exact instructions by class."""
    return Factory(kind="emulated", device="qemu").report(**options)  # type: ignore[arg-type]
