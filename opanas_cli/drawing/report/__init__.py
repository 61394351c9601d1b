"""The report of a work dir: one page with everything that the commands have written there so far."""

from opanas_cli.drawing.report.page import to_page
from opanas_cli.drawing.report.work_dir import WorkDir, read_work_dir

__all__ = ["WorkDir", "read_work_dir", "to_page"]
