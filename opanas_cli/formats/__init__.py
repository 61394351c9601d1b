"""Genotypes in files: codecs, found through entry points, and the one way to read what a user hands us."""

from opanas_cli.formats.codec import Codec, GenotypeRecord
from opanas_cli.formats.reading import (
    GenotypeLike,
    read_record,
    resolve_genotype,
    resolve_record,
    shipped_genotypes,
)
from opanas_cli.formats.writing import dump_record, write_record

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
