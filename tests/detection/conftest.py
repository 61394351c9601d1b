import opanas_cli.detection  # noqa: F401  (mmdet can be imported from here on, and quietly)
