"""Group norm after each convolution of the neck and on each of its outputs: networks train better and rank truer.

One group fits every width. docs/departures.md has the figures; the paper has no norm.
"""

_base_ = ["faster_rcnn.py"]

norm = dict(type="GN", num_groups=1)
model = dict(neck=dict(norm_cfg=norm, output_norm_cfg=norm))
del norm
