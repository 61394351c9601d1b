"""What a genotype can be exported to: configs, graphs and genotype formats, one file for each kind."""

from opanas_cli.exporters.exporter import ExportedFile, Exporter, ExportRequest

__all__ = ["ExportRequest", "ExportedFile", "Exporter"]
