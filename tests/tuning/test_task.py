"""A task's name and key."""

from tests.tuning.model import task, tasks


def test_names_tell_tasks_apart() -> None:
    assert task("mlp").name == "mlp 1x10x10x24 of 72"
    assert task("conv_direct").name == "conv_direct 1x10x10x24 of 8"
    names = [one.name for one in tasks()]
    assert len(set(names)) == len(names)


def test_a_key_is_the_kernel_and_its_shape() -> None:
    kernel, shape = task("mlp").key
    assert kernel == "mlp"
    assert shape == repr(task("mlp").shape)
