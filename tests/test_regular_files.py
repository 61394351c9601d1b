"""Only regular files are opened, whatever a path leads to."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from opanas_cli.errors import InvalidInputError
from opanas_cli.formats.files import read_record
from opanas_cli.regular_files import open_regular, read_regular, require_regular


def test_files_and_links_to_files_are_read(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"abc")
    link.symlink_to("file")
    assert read_regular(link) == read_regular(file, 1 << 20) == b"abc"
    with open_regular(link) as opened:
        assert opened.read() == b"abc"


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("folder", "it is a folder, not a regular file"),
        ("pipe", "it is a named pipe, not a regular file"),
        ("socket", "it is a socket, not a regular file"),
        ("device", "it is a device, not a regular file"),
        ("missing", "No such file or directory"),
        ("large", "it is larger than 1 MiB"),
        ("zero\0byte", "invalid file name"),
        ("half \ud800", "invalid file name"),
    ],
)
def test_nothing_else_is_opened(
    kind: str, said: str, linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # The path of a socket is short.
    path = Path("/dev/zero" if kind == "device" else kind)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(kind)
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate((1 << 20) + 1)
    if linked and said != "invalid file name":
        Path("link").symlink_to(path)
        path = Path("link")
    for read in (require_regular, open_regular, read_regular):
        with pytest.raises(OSError) as caught:
            read(path, 1 << 20)
        assert caught.value.strerror == said


def read_config(path: Path) -> object:
    from opanas_cli.detection.configs.files import find_config

    return find_config(str(path))


def read_model(path: Path) -> object:
    from opanas_cli.detection.checkpoints import read_checkpoint

    return read_checkpoint(path)


def read_annotations(path: Path) -> object:
    from opanas_cli.detection.data.annotation_files import read_coco

    return read_coco(path)


def read_split(path: Path) -> object:
    from opanas_cli.detection.data.annotation_files import voc_names

    return voc_names(path)


def read_xml(path: Path) -> object:
    from opanas_cli.detection.data.annotation_files import voc_objects

    split = path.with_name("split.txt")
    split.write_text("pipe\n")
    (path.parent / "Annotations").mkdir()
    (path.parent / "Annotations" / "pipe.xml").symlink_to(path.resolve())
    ((_, found),) = voc_objects(dict(type="XMLDataset", data_root=path.parent, ann_file=split.name))
    assert isinstance(found, Exception)
    raise found


@pytest.mark.parametrize("read", [read_record, read_config, read_model, read_annotations, read_split, read_xml])
def test_every_reader_refuses_a_pipe(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(InvalidInputError, match=r"pipe.*: cannot be read \(it is a named pipe, not a regular file\)"):
        read(Path("pipe"))
