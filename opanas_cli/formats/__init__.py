"""Genotypes in files: codecs, found through entry points, and the one way to read what a user hands us."""

from opanas_cli.formats.codec import Codec, GenotypeRecord
from opanas_cli.formats.reading import read_record, resolve_genotype, resolve_record, shipped_genotypes

__all__ = ["Codec", "GenotypeRecord", "read_record", "resolve_genotype", "resolve_record", "shipped_genotypes"]
