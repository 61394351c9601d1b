"""Weights of other software as weights of our detectors."""
