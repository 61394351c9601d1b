"""From a genotype to a file."""

from __future__ import annotations

from pathlib import Path

from opanas_cli.atomic import write_atomically
from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.codec import GenotypeRecord
from opanas_cli.formats.registry import codec_for_path, codec_named
from opanas_cli.genotype import Genotype


def dump_record(record: GenotypeRecord, codec_name: str) -> str:
    """The text of a genotype in the format called `codec_name`.

    Raises:
        InvalidGenotypeError: there is no such format, it is only for reading, or it cannot say this genotype.
    """
    codec = codec_named(codec_name)
    if codec.dumps is None:
        raise InvalidGenotypeError(f"the format '{codec.name}' can be read only; choose another to write")
    return codec.dumps(record)


def write_record(record: GenotypeRecord | Genotype, path: Path, codec_name: str | None = None) -> None:
    """Write a genotype, in the format called `codec_name` or else the one that the suffix says.

    Raises:
        InvalidGenotypeError: as `dump_record`, or no format has the suffix.
        OpanasError: the file cannot be written.
    """
    if isinstance(record, Genotype):
        record = GenotypeRecord(record)
    codec = codec_named(codec_name) if codec_name else codec_for_path(path)
    write_atomically(path, dump_record(record, codec.name))
