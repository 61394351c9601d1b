"""Genotypes in files: codecs, found through entry points, and the one way to read what a user hands us."""

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
