"""Graphs for people."""

from efcompile.capture import capture
from efcompile.cli.graph_text import graph_text
from tests.small import image, small


def test_a_line_shows_operation_shape_and_source() -> None:
    lines = graph_text(capture(small(), image(batch=2)).graph_module).splitlines()
    assert lines[0].startswith("%x = input -> [2, 3, 17, 17]")
    convolution = next(line for line in lines if "aten.conv2d.default" in line)
    assert "(%x, stem_weight[12, 3, 3, 3], None, [2, 2], [1, 1]" in convolution
    assert convolution.endswith("-> [2, 12, 9, 9]  # stem")
    assert lines[-1].startswith("return [%")
