"""This machine as a device."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.devices.local import Local
from efcompile.errors import BundleError, InputError
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from tests.bundle.programs import expected, sample, tiny_program

PROGRAM = tiny_program()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("local")
    return load_bundle(write_bundle(PROGRAM, out, parts=["shared"]))


@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_right(bundle: Bundle, threads: int) -> None:
    x = sample()
    for got, want in zip(
        Local().run(bundle, [x], threads=threads), expected(PROGRAM, x), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_latency_is_a_measurement_of_this_machine(bundle: Bundle) -> None:
    latency = Local(warmup=1, iterations=7).measure(bundle, threads=1)["latency"]
    assert (latency.kind, latency.unit, latency.samples) == ("measured", "ns", 7)
    assert (latency.device, latency.target, latency.threads) == ("local", "host", 1)
    lower, upper = latency.spread
    assert 0 < lower <= latency.value <= upper < 1e9
    assert latency.versions["apache-tvm"] == "0.27.0.post1"


def test_it_says_what_it_cannot_run() -> None:
    host = detect_host()
    assert Local().unavailable() is None
    assert Local().refuses(host) is None
    other = "arm64" if host.arch == "x86_64" else "x86_64-linux-gnu"
    assert "does not run on" in str(Local().refuses(resolve(other)))
    assert "does not run on" in str(Local().refuses(resolve("iphone12")))


def test_missing_features_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("efcompile.devices.local.missing_features", lambda target: ("avx512f",))
    assert Local().refuses(detect_host()) == "this CPU lacks avx512f"


def test_a_bundle_for_another_machine_names_the_emulator(bundle: Bundle) -> None:
    other = resolve("arm64" if detect_host().arch == "x86_64" else "x86_64-linux-gnu")
    foreign = Bundle(Path("x.arm64"), bundle.manifest.model_copy(update={"target": replace(other)}))
    with pytest.raises(BundleError, match='device="qemu"'):
        Local().run(foreign, [sample()])


def test_wrong_inputs_are_refused(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="must be float32 of shape"):
        Local().run(bundle, [sample()[:, :3]])
