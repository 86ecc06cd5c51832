"""Linking trials: one program, or one library for TVM's RPC server, for a batch of them."""

from efcompile.bundle.trial import Outcome, Part, PartKind, Step, Trial, TrialSettings

__all__ = ["Outcome", "Part", "PartKind", "Step", "Trial", "TrialSettings"]
