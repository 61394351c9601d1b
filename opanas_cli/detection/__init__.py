"""The only place that imports mmdet, mmengine and mmcv.

Importing this package is all it takes to use mmdet where mmcv's compiled operators are missing. It imports all of
mmdet at once, some seconds, so that what mmdet prints and warns while it is imported is dropped in this one place.
"""

from opanas_cli.detection.operators import install
from opanas_cli.detection.quiet import quietly
from opanas_cli.errors import MissingDependencyError

try:
    install()
    with quietly():
        from mmdet.utils import register_all_modules

        register_all_modules(init_default_scope=False)
except ImportError as error:
    way_out = "`pip install 'opanas[mmdet]'` installs all it needs"
    if "libGL" in str(error):
        way_out = (
            "OpenCV's headless build needs no graphics library: `pip uninstall -y opencv-python && "
            "pip install --force-reinstall --no-deps 'opencv-python-headless<4.13'`"
        )
    raise MissingDependencyError(f"detectors need mmdet, and importing it failed: {error}; {way_out}") from error

from opanas_cli.detection import registration  # noqa: F401  (registers what configs name)
