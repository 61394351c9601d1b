"""What a loss that is not finite means for a training."""

from __future__ import annotations

import math

from mmengine.optim import OptimWrapper

from opanas_cli.errors import OpanasError

MOST_IN_A_ROW = 10
"""Steps; after so many a loss scale has gone down to a thousandth, and the network itself overflows."""


class FiniteLoss:
    """Ends a training whose loss is not finite: at once, or at the tenth step in a row under a loss scale.

    The gradients of such a step overflow, so that mmengine's AmpOptimWrapper leaves it out and scales the next one
    less. All processes must give the same loss, so that all end.

    Args:
        way_out: what the user can do about it.
    """

    def __init__(self, way_out: str) -> None:
        self.way_out = way_out
        self.in_a_row = 0

    def require(self, loss: float, step: int, optim_wrapper: OptimWrapper) -> None:
        """Check the loss of a step, the first being 1; each step is checked once.

        Raises:
            OpanasError: it is not finite, and no loss scale makes up for it.
        """
        self.in_a_row = 0 if math.isfinite(loss) else self.in_a_row + 1
        if not self.in_a_row:
            return
        scaler = getattr(optim_wrapper, "loss_scaler", None)
        if scaler is None or not scaler.is_enabled() or self.in_a_row == MOST_IN_A_ROW:
            raise OpanasError(f"the loss is {loss} at step {step}; {self.way_out}")
