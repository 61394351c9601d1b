"""Genotypes in files and other forms: how they are read, validated and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opanas_cli.atomic import write_atomically
from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.registry import FORMATS, GenotypeRecord, codec_of, errors_at
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.liveness import validate
from opanas_cli.regular_files import read_regular
from opanas_cli.shipped import shipped_dir
from opanas_cli.suggestions import suggestion

MAX_BYTES = 1 << 20

GenotypeLike = Genotype | str | Path | Mapping[str, Any] | Sequence[str]
"""A genotype, the name of a shipped one, a file, a JSON document as data, or path names in flat order (dense)."""


def shipped_genotypes() -> dict[str, Path]:
    """The genotypes that come with opanas, by name."""
    files = sorted(shipped_dir("genotypes").glob("*.json"))
    return {file.stem: file for file in files if not file.name.endswith(".schema.json")}


def resolve_genotype(value: GenotypeLike) -> Genotype:
    """The genotype that `value` stands for; see `resolve_record`."""
    return resolve_record(value).genotype


def resolve_record(value: GenotypeLike, codec_name: str | None = None) -> GenotypeRecord:
    """The genotype that `value` stands for, with its metadata. `codec_name` is the format of a file.

    A bare name means a shipped genotype before it means a file; write ``./opa-fpn`` for the file.

    Raises:
        InvalidGenotypeError: there is no such genotype, it is malformed, or its output is dead.
    """
    if isinstance(value, (str, Path)):
        file = shipped_genotypes().get(str(value)) if isinstance(value, str) else None
        return read_record(file) if file else read_record(Path(value), codec_name)
    if isinstance(value, Mapping):
        from opanas_cli.formats.json_format import record_of

        return _validated(record_of(value, "genotype"), "genotype")
    if isinstance(value, Genotype):
        return _validated(GenotypeRecord(value), "genotype")
    if not isinstance(value, Sequence):
        raise InvalidGenotypeError(f"a genotype is a name, a file, a dict or a list of paths, but got {value!r}")
    with errors_at("genotype"):
        genotype = Genotype.of(value)
    return _validated(GenotypeRecord(genotype), "genotype")


def read_record(path: Path, codec_name: str | None = None) -> GenotypeRecord:
    """The genotype in a file, in the format called `codec_name` or else that of its suffix.

    Raises:
        InvalidGenotypeError: the file cannot be read, is larger than 1 MiB or not UTF-8, or is no genotype.
    """
    text = _text(path)
    codec = codec_of(path, codec_name)
    if codec.loads is None:
        raise InvalidGenotypeError(f"{path}: the format '{codec.name}' is write-only; give another file")
    return _validated(codec.loads(text, str(path)), str(path))


def _validated(record: GenotypeRecord, where: str) -> GenotypeRecord:
    with errors_at(where):
        validate(record.genotype)
    return record


def _text(path: Path) -> str:
    data = _bytes(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidGenotypeError(f"{path}: written as UTF-16; save it as UTF-8")
    try:
        # Editors on Windows begin UTF-8 files with a byte order mark.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidGenotypeError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8 text") from None


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        raise InvalidGenotypeError(_no_such_file(path)) from None
    except OSError as error:
        raise InvalidGenotypeError(f"{path}: cannot be read ({error.strerror}); give a genotype file") from None


def _no_such_file(path: Path) -> str:
    shipped = list(shipped_genotypes())
    known = [*(shipped if path.parent == Path() else ()), *_names_in(path.parent)]
    hint = suggestion(path.name, known, f"give a file, or one of {', '.join(shipped)}")
    return f"{path}: no such file, and no genotype of that name is shipped; {hint}"


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(file.name for file in folder.iterdir() if file.is_file())
    except OSError:
        return []


def dump_record(record: GenotypeRecord, codec_name: str) -> str:
    """The text of a genotype in the format called `codec_name`.

    Raises:
        UsageError: there is no such format.
        InvalidGenotypeError: the format is read-only, or cannot express this genotype.
    """
    codec = FORMATS.named(codec_name)
    if codec.dumps is None:
        raise InvalidGenotypeError(f"the format '{codec.name}' is read-only; choose another one to write")
    return codec.dumps(record)


def write_record(record: GenotypeRecord | Genotype, path: Path, codec_name: str | None = None) -> None:
    """Write a genotype, in the format called `codec_name` or else that of the suffix.

    Raises:
        InvalidGenotypeError: as of `dump_record`, or no format has the suffix.
        OpanasError: the file cannot be written.
    """
    if isinstance(record, Genotype):
        record = GenotypeRecord(record)
    codec = codec_of(path, codec_name)
    write_atomically(path, dump_record(record, codec.name))
