"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opanas_cli.atomic import UNFINISHED, remove_leftovers, replacing, require_writable, write_atomically
from opanas_cli.errors import OpanasError


def test_writes_text_and_bytes_and_makes_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.txt", "é")
    write_atomically(tmp_path / "a" / "c", b"\x00")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "é".encode()
    assert (tmp_path / "a" / "c").read_bytes() == b"\x00"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_until_the_end_the_old_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["file/x.txt", "file/deep/x.txt", "folder", "n" * 300])
def test_a_place_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OpanasError, match="cannot be written") as caught:
        write_atomically(tmp_path / name, "x")
    assert caught.value.exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("name", ["file", "file/x", "file/x/y", "dangling"])
def test_a_folder_that_cannot_be_written_to(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OpanasError, match="cannot be written"):
        require_writable(tmp_path / name)


def test_trying_a_folder_out_does_not_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    require_writable(Path("new/deep"))
    require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_links_are_followed_and_devices_left_alone(tmp_path: Path) -> None:
    target, link, fifo = tmp_path / "target.txt", tmp_path / "link.txt", tmp_path / "fifo"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new")
    assert (target.read_text(), link.is_symlink()) == ("new", True)
    os.mkfifo(fifo)
    with pytest.raises(OpanasError, match="fifo: cannot be written: it is not a regular file"):
        write_atomically(fifo, "new")
    assert fifo.is_fifo()


def test_leftovers_are_removed_but_not_where_others_write(tmp_path: Path) -> None:
    kept = ["file", "other/.lock", f"other/{UNFINISHED}a", f"other/retrain/{UNFINISHED}a", f"a/b/c/{UNFINISHED}deep"]
    left = [f"{UNFINISHED}a.pth", f"evolve/{UNFINISHED}a", f"winner/retrain/{UNFINISHED}step_00000001.x.pth"]
    for name in (*kept, *left):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".lock").touch()
    remove_leftovers(tmp_path, ".lock")
    assert [name for name in (*kept, *left) if (tmp_path / name).exists()] == kept
