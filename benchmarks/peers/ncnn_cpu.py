"""ncnn, through its own converter pnnx."""

import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.peer import Array, FilePeer, Run

if TYPE_CHECKING:
    from benchmarks.case import Case

_REDUCED = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage")
"""Its ways to less than fp32, some of them on by default."""


class Ncnn(FilePeer):
    """fp32 throughout; Winograd, packing and its other choices as they come.  Its pooled
    allocators bring no speed here, so they are left out."""

    name = "ncnn"
    packages = ("ncnn", "pnnx")

    def prepare(self, case: "Case", folder: Path) -> None:
        """Trace with TorchScript, which pnnx reads; `RuntimeError` with what pnnx says,
        or with the operators that it leaves as they were."""
        import pnnx
        import torch

        # The tracer warns of what only matters for shapes other than the traced ones.
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                case.model, (case.x,), check_trace=False
            )
        traced.save(folder / "model.pt")
        shape = ",".join(str(extent) for extent in case.x.shape)
        command = [pnnx.EXEC_PATH, "model.pt", f"inputshape=[{shape}]", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode or not (folder / "model.ncnn.param").exists():
            raise RuntimeError(f"pnnx failed ({done.returncode}): {done.stderr.strip()[-300:]}")
        if left := untranslated((folder / "model.ncnn.param").read_text()):
            raise RuntimeError(f"pnnx has no ncnn layers for {', '.join(left)}")

    def runtime(self) -> Any:
        """See `FilePeer.runtime`."""
        import ncnn

        return ncnn

    def load(self, folder: Path, x: Array, threads: int) -> Run:
        """See `FilePeer.load`; an extractor serves one inference, by ncnn's design."""
        ncnn = self.runtime()
        net = ncnn.Net()
        for reduced in _REDUCED:
            setattr(net.opt, f"use_{reduced}", False)
        net.opt.num_threads = threads
        for read, file in (
            (net.load_param, "model.ncnn.param"),
            (net.load_model, "model.ncnn.bin"),
        ):
            if read(str(folder / file)):
                raise RuntimeError(f"ncnn cannot load {file}")
        names = list(net.output_names())
        batched = len(x) > 1
        image = ncnn.Mat(x, batch_index=0).clone() if batched else ncnn.Mat(x[0]).clone()

        def run() -> list[Array]:
            extractor = net.create_extractor()
            extractor.input("in0", image)
            outputs = []
            for name in names:
                status, mat = extractor.extract(name)
                if status:
                    raise RuntimeError(f"ncnn cannot compute {name}: status {status}")
                outputs.append(mat.numpy(batch_index=0) if batched else mat.numpy()[None])
            return outputs

        return run


def untranslated(param: str) -> list[str]:
    """The types of layers in a ``.param`` text that are PyTorch's, such as ``torch.unbind``;
    ncnn's own have no dot."""
    types = {line.split()[0] for line in param.splitlines()[2:] if line.strip()}
    return sorted(kind for kind in types if "." in kind)
