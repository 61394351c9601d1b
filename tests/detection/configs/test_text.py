"""Configs as text: what is read back is what was written, and no value can be more than a value."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_config import tiny_config

from opanas_cli.commands import run
from opanas_cli.detection.configs import text
from opanas_cli.detection.configs.necks import with_sub_net
from opanas_cli.detection.configs.parts import set_classes
from opanas_cli.detection.configs.stages import retrain_stage
from opanas_cli.detection.configs.text import LiteralConfig
from opanas_cli.detection.quiet import silenced
from opanas_cli.errors import InvalidConfigError
from opanas_cli.genotype import Genotype

ATTACKS = (
    '{{$X:A|\',open("pwned","w"),#}}',
    '{{$X:A|\\\',open("pwned","w"),#}}',
    "'+open('pwned','w').name+'",
    "{{fileDirname}}",
    "{{ _base_.model }}",
    "{{$HOME:x}}",
    "{{'$HOME:x'}}",
    "{{{{$HOME:x}}}}",
    "\\{{$HOME:x}}",
    "a{b}c {{ }}",
    'quote\'s "and" \\n\n\ttab',
    "\ud800 \u2028 \x0b é 猫",
)

PIECES = st.sampled_from([*"{}'\"\\#,:$|()[] \n", "{{", "}}", "{{$X:", "fileDirname", "_base_.model", "\\x7b", "A"])
TEXTS = st.lists(PIECES | st.characters(), max_size=12).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXTS | st.sampled_from(["type", "class", "__debug__", "ﬁ", "lr"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def written(values: dict[str, Any]) -> Config:
    """A config of these values, written to a file and read again as mmdet's tools do."""
    with TemporaryDirectory() as folder:
        LiteralConfig(values).dump(Path(folder) / "config.py")
        return Config.fromfile(Path(folder) / "config.py")


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_every_value_comes_back(value: Any) -> None:
    assert written(dict(model=dict(x=value), other=value)).to_dict() == dict(model=dict(x=value), other=value)


def test_the_copy_of_a_json_config_is_python(tmp_path: Path) -> None:
    LiteralConfig(dict(classes=ATTACKS)).dump(tmp_path / "config.json")
    assert Config.fromfile(tmp_path / "config.py").classes == ATTACKS


@pytest.fixture
def hostile(shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A COCO folder whose name and whose categories try to leave their strings."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / """it's "{{ fileDirname }}" {{$X:A|',open("pwned","w"),#}}"""
    for part in ("train", "val"):
        shutil.copytree(shapes_root / part, root / part)
        document = json.loads((shapes_root / "annotations" / f"{part}.json").read_text())
        first = document["categories"][:1]
        more = [dict(first[0], id=100 + index) for index in range(len(ATTACKS) - 1)]
        document["categories"] = [dict(old, name=name) for old, name in zip(first + more, ATTACKS, strict=True)]
        document["annotations"] = [dict(old, category_id=first[0]["id"]) for old in document["annotations"]]
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"{part}.json").write_text(json.dumps(document))
    return root


@pytest.mark.parametrize("flags", [[], ["--standalone"]], ids=["plain", "standalone"])
def test_names_of_a_data_set_run_nothing(hostile: Path, tmp_path: Path, flags: list[str]) -> None:
    folder = hostile / "exported"
    folder.mkdir()
    file = folder / f"hostile{len(flags)}.py"
    options = ["--dataset", "custom-small", "--cfg-options", f"data_root={hostile}"]
    assert run(["export", "opa-fpn", "--to", "mmdet-config", "-o", str(file), *flags, *options]) == 0
    config = Config.fromfile(file)
    assert config.train_dataloader.dataset.metainfo.classes == ATTACKS
    assert config.train_dataloader.dataset.data_root == str(hostile)
    assert not list(tmp_path.rglob("pwned"))


def test_the_copies_of_a_run_are_read_as_they_were(shapes_root: Path, tmp_path: Path) -> None:
    config = tiny_config(shapes_root)
    set_classes(config, ATTACKS)
    config.update(work_dir=str(tmp_path), experiment_name="copies")
    config.visualizer.name = "copies"  # Else one of an earlier test is used again, with its folder.
    with silenced():
        runner = Runner.from_cfg(retrain_stage(with_sub_net(config, Genotype.of(["skip_connect"] * 3))))
        runner.call_hook("before_run")
    copies = list(tmp_path.rglob("*.py"))
    assert sorted(file.name for file in copies) == ["config.py", "shapes.py"]
    assert {Config.fromfile(file).classes for file in copies} == {ATTACKS}
    assert Config.fromstring(runner.message_hub.get_info("cfg"), ".py").classes == ATTACKS


def test_an_interruption_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(text, "_literal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LiteralConfig(dict(a=1)).dump()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (dict(model=dict(parts=[object()])), r"model\.parts\[0\]: a config file cannot hold <object"),
        (dict(model=dict(call=lambda: 0)), r"model\.call: a config file cannot hold <function"),
        ({"a b": 1}, "'a b' is not a valid name for a setting"),
        ({"import": 1}, "'import' is not a valid name for a setting"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        LiteralConfig(values).dump()


def test_classes_are_named_and_helpers_of_the_file_left_out() -> None:
    config = LiteralConfig(dict(model=dict(type=Runner), helper=object(), folder=Path("a")))
    assert config.pretty_text == "folder = 'a'\nmodel = dict(type='mmengine.runner.runner.Runner')\n"
