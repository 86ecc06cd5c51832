import numpy as np
import pytest
import torch

from benchmarks.case import open_case, relative_errors


def test_a_case_is_eager_on_random_weights() -> None:
    with open_case("tests.small:Small", batch=2) as case:
        assert case.input.shape == (2, 3, 17, 17)
        with torch.inference_mode():
            wanted = case.model(case.x).numpy()
        assert np.array_equal(case.expected[0], wanted)
        assert not case.model.training
        assert all(parameter.count_nonzero() > 0 for parameter in case.model.parameters())
        folder = case.folder
    assert not folder.exists()


def test_the_resolution_is_the_models() -> None:
    with open_case("efficientformerv2_s0", resolution=64) as case:
        assert case.input.shape == (1, 3, 64, 64)


def test_a_resolution_is_refused_where_the_model_has_its_own() -> None:
    with pytest.raises(ValueError, match="only efficientformer_l1"), open_case("timm:x", 1, 64):
        pass


def test_the_onnx_file_is_exported_once() -> None:
    with open_case("tests.small:Small") as case:
        first = case.onnx.stat().st_mtime_ns
        assert case.onnx.stat().st_mtime_ns == first


def test_errors_are_over_all_outputs() -> None:
    one, two = np.array([1.0, 2.0]), np.array([4.0])
    assert relative_errors([one, two], [one, two]) == 0
    assert relative_errors([one, two], [one, two + 4]) == 0.5
    assert relative_errors([one], [one, two]) == float("inf")
    assert relative_errors([one[None]], [one]) == float("inf")
