"""mmcv's operators without a compiler: one file each, on torchvision's kernels and plain torch.

`install()` puts them in place of mmcv's compiled operators. They take mmcv's arguments, write into the tensors
that mmcv allocates, run on the CPU and CUDA, and compute in float32 at least, whatever the type of the input.
"""

from opanas_cli.detection.operators.kernels import MissingOperatorError
from opanas_cli.detection.operators.stand_in import install

__all__ = ["MissingOperatorError", "install"]
