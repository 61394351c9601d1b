"""The only place that imports mmdet, mmengine and mmcv.

Importing this package is all it takes to use mmdet where mmcv's compiled operators are missing. It imports all of
mmdet at once, some seconds, so that what mmdet prints and warns while it is imported is dropped in this one place.
"""

from opanas_cli.detection.operators import install, quietly
from opanas_cli.errors import MissingDependencyError

try:
    install()
    with quietly():
        from mmdet.utils import register_all_modules

        register_all_modules(init_default_scope=False)
except ImportError as error:
    raise MissingDependencyError(
        f"detectors need mmdet, and importing it failed: {error}; `pip install 'opanas[mmdet]'` installs all it needs"
    ) from error

from opanas_cli.detection import registration  # noqa: F401  (registers what configs name)
