"""Configs: found, read, checked, made into what a stage runs, and written."""
