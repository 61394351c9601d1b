"""Genotypes in files: formats, found through entry points, and how they are read and written."""

from opanas_cli.formats.files import (
    GenotypeLike,
    dump_record,
    read_record,
    resolve_genotype,
    resolve_record,
    shipped_genotypes,
    write_record,
)
from opanas_cli.formats.registry import Codec, GenotypeRecord

__all__ = [
    "Codec",
    "GenotypeLike",
    "GenotypeRecord",
    "dump_record",
    "read_record",
    "resolve_genotype",
    "resolve_record",
    "shipped_genotypes",
    "write_record",
]
