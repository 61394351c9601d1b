"""OPANAS: one-shot search of path aggregation networks (feature pyramids) for object detectors."""

__version__ = "0.1.0"
