"""Model to graph: `capture` turns a module into the one normal form that passes work on.

The normal form is a `torch.fx.GraphModule` of functional ATen calls.  Placeholders are the
inputs, ``get_attr`` nodes (flat names, registered as buffers) the parameters and buffers, the
output a flat tuple of tensors.  Every node has ``meta["val"]``, a meta tensor of its shape and
dtype, and ``meta["custom"]["source"]``, the paths of the modules it came from.  Each operation
has one spelling: views are ``aten.reshape``, transpositions ``aten.permute``, parts
``aten.slice``, and so on; the ``spelling_*`` modules are the list.
"""

from efcompile.capture.captured import Captured, capture, name_of
from efcompile.capture.shapes import propagate

__all__ = ["Captured", "capture", "name_of", "propagate"]
