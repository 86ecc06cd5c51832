"""The arm64 Python that the peers' own wheels run in."""

from efcompile.devices import arm64_python as prepared
from efcompile.devices.arm64_python import Arm64Python

WHEELS = ("numpy==2.4.6", "onnxruntime==1.22.1", "ncnn==1.0.20261020", "MNN==3.6.1")
"""Without what these name: the rest is not needed to run a model."""

_TRY = """
import abc, ctypes, importlib.metadata, json, shutil, subprocess, tempfile, typing, zipfile
import numpy, onnxruntime, ncnn, MNN, MNN.expr, MNN.nn, sys
numpy.savez(sys.argv[1], numpy.ones(1))
numpy.load(sys.argv[1]).close()
"""
"""All that running a model imports."""


def arm64_python() -> Arm64Python:
    """The environment, downloaded on first use; raises as `prepared.arm64_python` does."""
    return prepared.arm64_python(WHEELS, _TRY)
