"""Configs and options that cannot be worked with: one line, the right exit code, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from opanas_cli import commands
from opanas_cli.commands import run
from opanas_cli.detection.configs.files import shipped_configs

Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing.py", None, "nothing.py: no such config file; shipped configs are coco, "),
        ("shape", None, "did you mean 'shapes'?"),
        ("n" * 300, None, "cannot be read (File name too long)"),
        ("half.py", b"model = dict(\n", "half.py: cannot be read as an mmengine config: SyntaxError: "),
        ("bytes.py", b"\x00\xff\xfe", "bytes.py: cannot be read as an mmengine config: "),
        ("raises.py", b"raise ValueError('one\\ntwo')\n", "mmengine config: ValueError: one two"),
        ("words.txt", b"hello", "words.txt: cannot be read as an mmengine config: "),
        ("empty.py", b"", "empty.py: has no `model`; start from one of coco, "),
        ("no_base.py", b"_base_ = 'gone.py'\n", "no_base.py: cannot be read as an mmengine config: "),
        ("moved.py", b"_base_ = '/gone/custom.py'\n", "config: there is no /gone/custom.py; set _base_ to '/"),
        ("number.py", b"model = 3\n", "number.py: model must be a dict of settings, but got 3"),
        ("two.py", b"model = {}\ndata = dict(train={})\n", "two.py: is written for another version of mmdet; port it"),
        ("neck.py", b"custom_imports = dict(imports=['mmdet.core'])\n", "(it needs the module 'mmdet.core')"),
    ],
)
@pytest.mark.parametrize("command", ["train-supernet", "retrain"])
def test_no_config(command: str, name: str, content: bytes | None, said: str, refused: Refused) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    assert said in refused(3, command, name, "--work-dir", "run", "--device", "cpu")
    assert not Path("run").exists()


def test_a_folder_is_no_config(refused: Refused) -> None:
    assert "is a folder, not a config file" in refused(3, "train-supernet", ".", "--work-dir", "run")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("model.neck=None", "model.neck is missing; a search needs neck=dict(type='OPASuperNet', "),
        ("model.neck.type=FPN", "model.neck.type must be 'OPASuperNet', but got 'FPN'"),
        ("model.neck.typo=3", "__init__() got an unexpected keyword argument 'typo'"),
        ("model.neck.num_nodes=1000", "expected 1 to 64 intermediate nodes, but got 1000"),
        ("model.neck.space=sparse", "'sparse' is not a space; choose 'dense' or 'chain'"),
        ("model.neck.num_nodes=x", "num_nodes must be a whole number, but got 'x'"),
        ("model.neck.paths=top_down", "paths must be a list of information paths, but got 'top_down'"),
        ("model.neck.paths=[topdown]", "'topdown' is not an information path"),
        ("model.backbone.type=ResNettt", "cannot be built: ResNettt is not in the mmdet::model registry"),
        ("model.roi_head.bbox_head.num_classes=7", "the head has num_classes=7, but "),
        ("classes=cat,dog", "has no category 'cat', which the config's classes name; its categories are disk, "),
        ("classes=square,disk", "come in the order disk, square, and the "),
        ("classes=5", "has no category '5'"),
        ("train_dataloader=None", "has no train_dataloader with a dataset"),
        ("train_dataloader.dataset.type=CocoDatset", "'CocoDatset' is not a data set that mmdet knows"),
        ("train_dataloader.dataset.ann_file=", "a data set has no type or no ann_file"),
        ("supernet.epoch=1", "--cfg-options: supernet.epoch is not a setting; did you mean 'epochs'?"),
        ("supernet.zzz=1", "--cfg-options: supernet.zzz is not a setting; the settings are image_scale, "),
        ("supernet.epochs=many", "supernet.epochs must be a whole number of at least 1, but got 'many'"),
        ("supernet.epochs=0", "supernet.epochs must be a whole number of at least 1, but got 0"),
        ("supernet.batch_size=-1", "supernet.batch_size must be a whole number"),
        ("supernet.lr=0", "supernet.lr must be a number above 0"),
        ("supernet.search_split=1.5", "supernet.search_split must be a fraction of at least 0 and below 1"),
        ("supernet.split_by=clip", "supernet.split_by must be one of file, folder, but got 'clip'"),
        ("supernet.data_fraction=0", "supernet.data_fraction must be a fraction above 0"),
        ("supernet.search_split=0.999999", "the train part of 12 training images is empty"),
        ("supernet.image_scale=5", "supernet.image_scale must be two whole numbers of 32 to 65536 pixels"),
        ("supernet.image_scale=[1000000,1000000]", "supernet.image_scale must be two whole numbers of 32 to 65536"),
        ("search.metric=mAP", "search.metric must be one of AP, AP50"),
        ("retrain.epochs=1.5", "retrain.epochs must be a whole number"),
        ("retrain.train_scales=(1,2)", "retrain.train_scales must be the smallest and the largest (width, height)"),
        ("supernet.optimizer=sgd", "supernet.optimizer must be an optimizer of torch that takes lr and weight_decay"),
        ("supernet.optimizer=LBFGS", "supernet.optimizer must be an optimizer of torch"),
        ("retrain.optimizer=torch", "retrain.optimizer must be an optimizer of torch"),
        ("supernet=3", "supernet must be a dict of settings"),
        ("cost_input=9", "cost_input must be (height, width)"),
    ],
)
def test_a_setting_that_cannot_be(option: str, said: str, refused: Refused, tiny_options: tuple[str, ...]) -> None:
    line = refused(
        3, "train-supernet", "shapes", "--work-dir", "run", "--device", "cpu", "--cfg-options", *tiny_options, option
    )
    assert said in line
    assert not Path("run").exists()


SECTION, SECTIONS = "must be a dict of settings", "must be a list of dicts, but got 5"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("train_dataloader=5", f"train_dataloader {SECTION}, but got 5"),
        ("train_dataloader.dataset=5", f"train_dataloader.dataset {SECTION}"),
        ("train_dataloader.dataset.pipeline=5", f"train_dataloader.dataset.pipeline {SECTIONS}"),
        ("train_dataloader.dataset.pipeline=[5]", f"train_dataloader.dataset.pipeline[0] {SECTION}"),
        ("train_dataloader.dataset.pipeline=None", "train_dataloader: image_scale cannot be set: images are not"),
        ("train_dataloader.dataset.pipeline.4.type=Nope", "cannot be built: Nope is not in the mmdet::transform regis"),
        ("train_dataloader.dataset.pipeline.4.prob=x", "cannot be built: probs must be float or list of float"),
        ("train_dataloader.dataset.ann_file=5", "train_dataloader.dataset.ann_file must be text in quotes, but got 5"),
        ("train_dataloader.dataset.data_prefix=5", f"train_dataloader.dataset.data_prefix {SECTION}"),
        ("train_dataloader.dataset.metainfo=5", f"train_dataloader.dataset.metainfo {SECTION}"),
        ("train_dataloader.dataset.type=5", "train_dataloader.dataset.type must be text in quotes, but got 5"),
        ("train_dataloader.dataset.pipeline.4=5", "the entries of a list are dicts of settings, which are set one by"),
        (
            "train_dataloader.dataset.pipeline.4.type=5",
            "pipeline[4].type must be a name in quotes, or a class, but got",
        ),
        ("test_dataloader.dataset=None", f"test_dataloader.dataset {SECTION}, but got None"),
        ("log_processor.window_size=x", "log_processor.window_size must be a whole number, but got 'x'"),
        ("visualizer.vis_backends=5", f"visualizer.vis_backends {SECTIONS}"),
        ("model.roi_head.bbox_head.in_channels=9", "cannot be trained: mat1 and mat2 shapes cannot be multiplied"),
        ("train_dataloader.num_workers=x", "cannot be built: '<' not supported between"),
        ("train_dataloader.sampler=5", "cannot be built: object of type 'int' has no len()"),
        ("val_dataloader=5", f"val_dataloader {SECTION}"),
        ("test_evaluator=5", f"test_evaluator {SECTION}, or a list of them, but got 5"),
        ("test_evaluator=[5]", f"test_evaluator[0] {SECTION}"),
        ("auto_scale_lr=5", f"auto_scale_lr {SECTION}"),
        ("default_hooks=5", f"default_hooks {SECTION}"),
        ("custom_hooks=5", f"custom_hooks {SECTIONS}"),
        ("env_cfg=5", "cannot be built: 'int' object has no attribute 'get'"),
        ("log_level=FOO", "cannot be built: FOO"),
        ("load_from=5", "load_from must be text in quotes"),
        ("visualizer=5", f"visualizer {SECTION}"),
        ("cost_input=[1000000,1000000]", "cost_input must be (height, width)"),
        ("model.backbone=5", f"model.backbone {SECTION}"),
        ("model.backbone.depth=x", "cannot be built: invalid depth x for resnet"),
        ("model.rpn_head=None", "model.rpn_head is missing; its roi_head needs one"),
        ("model.roi_head=None", "model.roi_head is missing; its rpn_head needs one"),
        ("model.rpn_head.in_channels=9", "cannot be built: "),
        ("model.test_cfg=None", "cannot be built: 'NoneType' object has no attribute 'rpn'"),
        ("model.test_cfg.rpn=5", f"model.test_cfg.rpn {SECTION}"),
        ("model.train_cfg.rpn.sampler.num=x", "cannot be trained: can't multiply sequence by non-int"),
        ("model.neck.in_channels=5", "cannot be built: Value after * must be an iterable"),
    ],
)
def test_a_part_of_another_kind(option: str, said: str, refused: Refused, tiny_options: tuple[str, ...]) -> None:
    """Of a run that has met no image nothing is left, the log included."""
    options = ["--work-dir", "run", "--device", "cpu", "--cfg-options", *tiny_options, option]
    line = refused(3, "train-supernet", "shapes", *options)
    assert said in line
    assert line.split(": ")[0].endswith("configs/shapes.py")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("train_dataloader=5", f"train_dataloader {SECTION}, but got 5"),
        ("auto_scale_lr=5", f"auto_scale_lr {SECTION}"),
        ("model.rpn_head=None", "model.rpn_head is missing; its roi_head needs one"),
        ("retrain.image_scale=[1000000,1000000]", "retrain.image_scale must be two whole numbers of 32 to 65536"),
        ("model.rpn_head.in_channels=9", "cannot be built: "),
        ("model.train_cfg.rpn.sampler.num=x", "cannot be trained: can't multiply sequence by non-int"),
        ("test_dataloader.dataset.metainfo.classes=abc", "metainfo.classes of CocoDataset must be a list of names, "),
        ("test_evaluator.type=Nope", "cannot be built: Nope is not in the mmdet::metric registry"),
        ("test_evaluator.metric=5", "cannot be built: BaseMetric.__init__() got an unexpected keyword argument"),
        ("test_dataloader.dataset.ann_file=5", "test_dataloader.dataset.ann_file must be text in quotes"),
        ("train_dataloader=None", "has no train_dataloader with a dataset"),
        ("train_dataloader.dataset=None", f"train_dataloader.dataset {SECTION}, but got None"),
        ("val_dataloader.dataset=None", f"val_dataloader.dataset {SECTION}, but got None"),
        ("model.roi_head.bbox_head.in_channels=9", "cannot be trained: mat1 and mat2 shapes cannot be multiplied"),
        ("retrain=None", "has no train_cfg, and no section `retrain` to make it of; add retrain=dict(epochs=12)"),
    ],
)
def test_a_part_of_another_kind_for_a_full_training(
    option: str, said: str, refused: Refused, tiny_options: tuple[str, ...]
) -> None:
    options = ["--work-dir", "run", "--device", "cpu", "--cfg-options", *tiny_options, option]
    assert said in refused(3, "retrain", "shapes", "--genotype", "top-down", *options)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("test_dataloader = dict(dataset=None)", f"test_dataloader.dataset {SECTION}, but got None"),
        ("train_dataloader = dict(dataset=dict(pipeline=[dict(scale=3)]))", "pipeline[0].type must be a name in quot"),
        ("train_dataloader = dict(dataset=dict(pipeline=[None]))", f"pipeline[0] {SECTION}, but got None"),
        ("model = dict(neck=None)", "cannot be exported: "),
        ("test_evaluator = dict(_delete_=True, metric=5)", "cannot be exported: type (KeyError"),
    ],
)
def test_a_config_that_cannot_be_exported(change: str, said: str, refused: Refused) -> None:
    Path("own.py").write_text(f"_base_ = {str(shipped_configs()['shapes'])!r}\n{change}\n")
    options = ("--detector", "retinanet", "--channels", "16", "--standalone", "-o", "exported.py")
    line = refused(3, "export", "opa-fpn", "--to", "mmdet-config", "--dataset", "own.py", *options)
    assert line.startswith("own.py: ")
    assert said in line
    assert not Path("exported.py").exists()


def test_a_test_that_fails(refused: Refused, tiny_options: tuple[str, ...]) -> None:
    options = [*tiny_options, "model.test_cfg.rcnn.nms.iou_threshold=x"]
    command = ("retrain", "shapes", "--genotype", "top-down", "--work-dir", "run", "--device", "cpu", "-q")
    assert "cannot be tested: could not convert string to float" in refused(3, *command, "--cfg-options", *options)
    assert Path("run", "detector.pth").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pipeline_that_fails(
    workers: int, refused: Refused, tiny_options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a worker process too, whose error holds a traceback."""
    Path("transforms.py").write_text(
        "from mmcv.transforms import TRANSFORMS, BaseTransform\n"
        "@TRANSFORMS.register_module(force=True)\n"
        "class Failing(BaseTransform):\n"
        "    def __init__(self, prob): pass\n"
        "    def transform(self, results):\n"
        "        return results['nothing']\n"
    )
    Path("own.py").write_text(
        f"_base_ = {str(shipped_configs()['shapes'])!r}\ncustom_imports = dict(imports=['transforms'])\n"
    )
    monkeypatch.syspath_prepend(Path.cwd())
    options = [f"train_dataloader.num_workers={workers}", "train_dataloader.dataset.pipeline.4.type=Failing"]
    line = refused(
        3, "train-supernet", "own.py", "--work-dir", "run", "--device", "cpu", "--cfg-options", *tiny_options, *options
    )
    line = line.replace("'nothing'", "nothing")
    assert line == "own.py: its images cannot be loaded: nothing (KeyError; use --debug for the traceback)"
    assert not Path("run").exists()


def test_own_folders_that_lack_a_part(refused: Refused, tiny_options: tuple[str, ...]) -> None:
    base = f"_base_ = {str(shipped_configs()['custom'])!r}\n"
    for change, said in (
        ("val_dataloader = dict(dataset=dict(_delete_=True, type='OwnFolder'))", "must have split='train', 'val' or "),
        ("train_dataloader = dict(dataset=None)", f"train_dataloader.dataset {SECTION}, but got None"),
    ):
        Path("own.py").write_text(f"{base}{change}\n")
        line = refused(3, "train-supernet", "own.py", "--work-dir", "run", "--cfg-options", *tiny_options)
        assert line.startswith("own.py: ")
        assert said in line


@pytest.mark.parametrize("key", ["suprnet.epochs", "suprnet", "modle.neck.num_nodes"])
def test_misspelt_sections(key: str, refused: Refused, tiny_options: tuple[str, ...]) -> None:
    line = refused(2, "train-supernet", "shapes", "--work-dir", "run", "--cfg-options", *tiny_options, f"{key}=1")
    section = key.split(".")[0]
    meant = {"suprnet": "supernet", "modle": "model"}[section]
    assert line == f"--cfg-options: '{section}' is not a config key; did you mean '{meant}'?"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LOCAL_RANK", "x", "train-supernet: LOCAL_RANK must be a whole number, but got 'x'; unset it"),
        ("WORLD_SIZE", "two", "train-supernet: WORLD_SIZE must be a whole number, but got 'two'"),
        ("LOCAL_RANK", "-1", "train-supernet: LOCAL_RANK must be a whole number, but got '-1'"),
        ("MASTER_PORT", "x", "train-supernet: MASTER_PORT must be a whole number"),
        ("RANK", "2", "train-supernet: RANK must be below WORLD_SIZE, but got 2 of 2"),
    ],
)
def test_an_environment_that_numbers_no_processes(
    variable: str, value: str, said: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SECONDS_TO_REPORT", 0.0)
    if variable == "RANK":
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setattr(commands, "is_follower", lambda: False)
    monkeypatch.setenv(variable, value)
    assert refused(2, "train-supernet", "shapes", "--work-dir", "run").startswith(said)


def test_a_local_rank_alone_does_not_stop_the_check_of_the_data(
    refused: Refused, tiny_options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters set it for all that they start."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    options = ["--work-dir", "run", "--device", "cpu", "--cfg-options", *tiny_options, "data_root=/nowhere"]
    assert "/nowhere/annotations/train.json: cannot be read" in refused(3, "train-supernet", "shapes", *options)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("words", "expected KEY=VALUE, but got 'words'"),
        ("=3", "expected KEY=VALUE, but got '=3'"),
        ("model.neck=[1,(2", "the value of 'model.neck' does not parse"),
        ("model.neck=dict(type='FPN',num_outs=5)", "set a dict's entries one by one, model.neck.NAME=…"),
        ("model.neck.type.deeper=1", "--cfg-options: "),
        ("train_dataloader.dataset.pipeline.99.x=1", "Index 99 exceeds the length"),
    ],
)
def test_malformed_cfg_options(option: str, said: str, refused: Refused) -> None:
    line = refused(2, "train-supernet", "shapes", "--work-dir", "run", "--device", "cpu", "--cfg-options", option)
    assert line.startswith("--cfg-options: ")
    assert said in line
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("data_root", "said"),
    [
        ("", "data_root is not set; add --cfg-options data_root="),
        ("/no/such/folder", "/no/such/folder: no such folder"),
        (
            "empty",
            "empty: is in no known layout: there are neither annotations in COCO's JSON, nor XML files of VOC's form",
        ),
    ],
)
def test_own_folder(data_root: str, said: str, refused: Refused) -> None:
    Path("empty").mkdir()
    option = f"data_root={data_root}"
    line = refused(3, "train-supernet", "custom", "--work-dir", "run", "--device", "cpu", "--cfg-options", option)
    assert said in line
    assert not Path("run").exists()


def test_own_folder_without_data_root(refused: Refused) -> None:
    assert "data_root is not set" in refused(3, "train-supernet", "custom", "--work-dir", "run", "--device", "cpu")


@pytest.mark.parametrize("device", ["nonsense", "cuda:x", "cuda:99", "CPU", ""])
@pytest.mark.parametrize("command", ["train-supernet", "retrain", "quickstart"])
def test_devices_that_are_not_here(command: str, device: str, refused: Refused) -> None:
    arguments = [] if command == "quickstart" else ["shapes"]
    quiet = ["-q"] if command == "quickstart" else []
    line = refused(2, command, *arguments, "--work-dir", "run", "--device", device, *quiet)
    assert line.startswith("--device: ")
    assert f"'{device}'" in line
    assert not Path("run").exists()


def test_cuda_where_there_is_none(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    line = refused(2, "train-supernet", "shapes", "--work-dir", "run", "--device", "cuda")
    assert line == "--device: no device 'cuda' (0 CUDA devices found); use --device cpu or auto"


@pytest.mark.parametrize("command", ["train-supernet", "retrain", "quickstart"])
def test_a_work_dir_below_a_file(command: str, refused: Refused) -> None:
    Path("file").touch()
    arguments = [] if command == "quickstart" else ["shapes"]
    line = refused(1, command, *arguments, "--work-dir", "file/run", "--device", "cpu")
    assert line.startswith("file/run: cannot be written (Not a directory)")


def test_a_work_dir_of_a_name_that_is_too_long(refused: Refused) -> None:
    name = "n" * 300
    line = refused(1, "train-supernet", "nothing.py", "--work-dir", name, "--device", "cpu")
    assert line == f"{name}: cannot be written (File name too long); choose another location"


@pytest.mark.parametrize("command", ["train-supernet", "retrain"])
def test_a_file_in_place_of_the_folder_of_the_log(
    command: str, refused: Refused, tiny_options: tuple[str, ...]
) -> None:
    Path("run").mkdir()
    Path("run", command).write_text("mine")
    genotype = ["--genotype", "top-down"] if command == "retrain" else []
    options = ("--work-dir", "run", "--device", "cpu", "--cfg-options", *tiny_options)
    line = refused(1, command, "shapes", *genotype, *options)
    assert line == f"run/{command}: cannot be written (Not a directory); choose another location"
    assert Path("run", command).read_text() == "mine"


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "RANK", "WORLD_SIZE"])
def test_a_number_that_is_set_to_nothing(
    variable: str, tiny_options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "")
    options = ["--work-dir", "run", "--device", "cpu", "-q", "--cfg-options", *tiny_options]
    assert run(["train-supernet", "shapes", *options]) == 0


def test_a_work_dir_that_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("mine")
    assert run(["train-supernet", "shapes", "--work-dir", "file"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("opanas: train-supernet: Invalid value for '--work-dir': Directory 'file' is a file (see ")
    assert Path("file").read_text() == "mine"


@pytest.mark.parametrize("arguments", [["--genotype", "bad.json"], ["--genotype", "opa-fpnn"]])
def test_genotypes_that_are_none(arguments: list[str], refused: Refused) -> None:
    Path("bad.json").write_text('{"format": ')
    line = refused(3, "retrain", "shapes", "--work-dir", "run", *arguments)
    assert line.startswith(arguments[1])
    assert not Path("run").exists()


def test_a_genotype_whose_output_is_dead(refused: Refused) -> None:
    Path("dead.txt").write_text("none|none,td")
    assert "dead.txt" in refused(3, "retrain", "shapes", "--work-dir", "run", "--genotype", "dead.txt")


def test_retrain_without_a_genotype(refused: Refused, tiny_options: tuple[str, ...]) -> None:
    line = refused(3, "retrain", "shapes", "--work-dir", "run", "--device", "cpu", "--cfg-options", *tiny_options)
    assert "its neck is a super-net; choose a genotype with --genotype" in line


@pytest.mark.parametrize("part", ["test_dataloader", "test_evaluator"])
def test_retrain_without_a_test_split(part: str, refused: Refused, tiny_options: tuple[str, ...]) -> None:
    options = ["--device", "cpu", "--cfg-options", *tiny_options, f"{part}=None"]
    assert part in refused(3, "retrain", "shapes", "--genotype", "top-down", "--work-dir", "run", *options)
    assert not Path("run").exists()


@pytest.mark.parametrize("option", ["--inherit", "--neck"])
def test_retrain_options_that_need_a_genotype(option: str, refused: Refused) -> None:
    value = "x.pth" if option == "--inherit" else "fpn"
    assert refused(2, "retrain", "shapes", option, value).endswith("needs a genotype; add --genotype")


def test_a_baseline_is_neither_inherited_nor_alone_in_a_file(refused: Refused) -> None:
    options = ["--genotype", "opa-fpn", "--neck", "bifpn", "--inherit", "x.pth"]
    assert "--neck bifpn has no weights in a super-net" in refused(2, "retrain", "shapes", *options)
    line = refused(2, "export", "opa-fpn", "--to", "mmdet-config", "--neck", "pafpn", "--standalone", "-o", "x.py")
    assert line == "--standalone: is for the neck of a genotype; leave out --neck"
