"""The error family. A message says what was wrong, where, and what to do."""


class EfcompileError(Exception):
    """Base of every error efcompile raises on purpose."""


class CaptureError(EfcompileError):
    """The model could not be turned into a static graph."""


class CheckpointError(EfcompileError):
    """A checkpoint is unreadable or does not fit the model."""


class UnsupportedOpError(EfcompileError):
    """An operator has neither a kernel of ours nor a fallback."""


class PassVerificationError(EfcompileError):
    """A pass changed the numbers, or left an ill-formed graph."""


class ParityError(EfcompileError):
    """The compiled model does not compute what eager PyTorch does."""


class TargetError(EfcompileError):
    """An unknown or unusable compilation target."""


class ToolchainError(EfcompileError):
    """A compiler, linker or package is missing, failed, or has the wrong version."""


class DeviceError(EfcompileError):
    """A device cannot run or measure the bundle."""


class TuningError(EfcompileError):
    """Tuning cannot go on, or knobs do not fit their kernel."""


class BundleError(EfcompileError):
    """A bundle is damaged, incomplete, or not for this machine."""


class ReportError(EfcompileError):
    """A report cannot be read or written: damaged, of another version, or not of one piece."""


class InputError(EfcompileError, ValueError):
    """An argument or input tensor does not fit: wrong name, shape or dtype."""
