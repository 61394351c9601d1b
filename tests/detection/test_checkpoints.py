"""Checkpoints: only data is read, and a refusal names the file."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from opanas_cli.detection.checkpoints import (
    fingerprint,
    load_weights,
    read_checkpoint,
    refuse_unsafe_checkpoints,
    write_checkpoint,
)
from opanas_cli.errors import InvalidCheckpointError


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.mark}'",)


def test_round_trip(tmp_path: Path) -> None:
    content = {"state_dict": {"w": torch.arange(3.0)}, "meta": {"seed": 3}}
    write_checkpoint(content, tmp_path / "deep" / "c.pth")
    read = read_checkpoint(tmp_path / "deep" / "c.pth")
    assert read["meta"] == {"seed": 3}
    assert torch.equal(read["state_dict"]["w"], torch.arange(3.0))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["c.pth"]


def test_what_was_read_is_written_in_the_same_bytes(tmp_path: Path) -> None:
    """Texts that are one object where they were made are many where they were read."""
    shared = ["a b"]
    content = {"rows": [{"a b": 1, "c": "a b"}, {"a b": 2}], "lists": [shared, shared, ("a b", 1.5, None)]}
    write_checkpoint(content, tmp_path / "a.pth")
    write_checkpoint(read_checkpoint(tmp_path / "a.pth"), tmp_path / "b.pth")
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    assert read_checkpoint(tmp_path / "b.pth") == content


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04 no zip", b"\x80\x02."])
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.pth"
    path.write_bytes(content)
    with pytest.raises(InvalidCheckpointError, match=r"c\.pth: "):
        read_checkpoint(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_checkpoint(tmp_path: Path, part: float) -> None:
    path = tmp_path / "c.pth"
    torch.save({"state_dict": {"w": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(InvalidCheckpointError, match="is truncated or not a checkpoint"):
        read_checkpoint(path)


def test_a_changed_bit_of_a_tensor_is_found(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save({"state_dict": {"w": torch.full((1000,), 0.5)}}, path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((9,), 0.5).numpy().tobytes()) + 400] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["state_dict"]["w"].unique().numel() == 2
    with pytest.raises(InvalidCheckpointError, match=r"c\.pth: is damaged at .*data/0 \(checksum mismatch\)"):
        read_checkpoint(path)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "it is a folder, not a regular file"), (tmp_path / "n.pth", "no such checkpoint")):
        with pytest.raises(InvalidCheckpointError, match=said):
            read_checkpoint(path)


def test_a_list_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "c.pth")
    with pytest.raises(InvalidCheckpointError, match="it holds a list"):
        read_checkpoint(tmp_path / "c.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("through_mmengine", [True, False])
def test_a_malicious_pickle_does_not_run(tmp_path: Path, zipped: bool, through_mmengine: bool) -> None:
    path, mark = tmp_path / "c.pth", tmp_path / "mark"
    if zipped:
        torch.save({"state_dict": {}, "meta": Malicious(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(mark)))
    refuse_unsafe_checkpoints()
    with pytest.raises(InvalidCheckpointError, match="not loaded for safety"):
        CheckpointLoader.load_checkpoint(str(path)) if through_mmengine else read_checkpoint(path)
    assert not mark.exists()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server on this machine of the folder ``served``; downloads are kept in another."""
    (tmp_path / "served").mkdir()
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(QuietHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def with_scheme(scheme: str, address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the model whose file is ``weights.pth`` on a server."""
    url = f"{address}/weights.pth"
    if scheme == "http":
        return url
    table = {"torchvision": "get_torchvision_models", "openmmlab": "get_external_models", "mmcls": "get_mmcls_models"}
    monkeypatch.setattr(f"mmengine.runner.checkpoint.{table[scheme]}", lambda: {"tiny": url})
    return f"{scheme}://tiny"


SCHEMES = pytest.mark.parametrize("scheme", ["http", "torchvision", "openmmlab", "mmcls"])


@SCHEMES
@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_download_does_not_run(
    scheme: str, zipped: bool, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil, mark = tmp_path / "served" / "weights.pth", tmp_path / "mark"
    if zipped:
        torch.save({"state_dict": {}, "meta": Malicious(mark)}, evil)
    else:
        evil.write_bytes(pickle.dumps({"state_dict": {}, "meta": Malicious(mark)}))
    refuse_unsafe_checkpoints()
    name = with_scheme(scheme, served, monkeypatch)
    for _ in range(2):  # Downloaded, and from the cache.
        with pytest.raises(InvalidCheckpointError, match=rf"^{name}: .*not loaded for safety"):
            CheckpointLoader.load_checkpoint(name)
    assert not mark.exists()


@SCHEMES
def test_downloads_of_mmengine_work(scheme: str, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdet.models import ResNet

    refuse_unsafe_checkpoints()
    trained = ResNet(18, base_channels=4, stem_channels=4)
    prefix = "backbone." if scheme == "mmcls" else ""
    state = {f"{prefix}{name}": torch.ones_like(value) for name, value in trained.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "served" / "weights.pth")
    name = with_scheme(scheme, served, monkeypatch)
    network = ResNet(18, base_channels=4, stem_channels=4, init_cfg=dict(type="Pretrained", checkpoint=name))
    network.init_weights()
    assert bool((network.conv1.weight == 1).all())


def test_downloads_that_fail_are_not_broken_checkpoints(served: str) -> None:
    refuse_unsafe_checkpoints()
    with pytest.raises(URLError):
        CheckpointLoader.load_checkpoint(f"{served}/nothing.pth")


def test_the_malicious_pickle_is_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malicious(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def test_weights_that_do_not_fit_name_the_first_difference(tmp_path: Path) -> None:
    model = nn.Linear(2, 3)
    good = {name: torch.ones_like(value) for name, value in model.state_dict().items()}
    load_weights(model, good, tmp_path)
    assert bool((model.weight == 1).all())
    for state, said in (
        ({**good, "weight": torch.zeros(3, 4)}, r"'weight' has shape \(3, 4\) instead of \(3, 2\)"),
        ({"weight": good["weight"]}, "'bias' is missing"),
        ({**good, "more": torch.zeros(1)}, "'more' is not in the config's network"),
        (None, "has no state_dict of tensors"),
        ({"weight": 3}, "has no state_dict of tensors"),
    ):
        with pytest.raises(InvalidCheckpointError, match=said):
            load_weights(model, state, tmp_path)
    assert bool((model.weight == 1).all())


def test_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    (tmp_path / "g").write_bytes(b"abd")
    files = [tmp_path / "f", tmp_path / "g"]
    assert len({fingerprint(*files), fingerprint(*files[::-1]), fingerprint(files[0]), fingerprint()}) == 4
    assert fingerprint(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
