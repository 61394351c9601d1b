"""The README and the pages under docs: every block of code on them runs here, or says why it does not.

A block is marked by a comment right before it: ``<!-- not run: REASON -->``, or ``<!-- tested by FILE -->``. Commands
of opanas that are not run are parsed. Those that train have `data_root` and a tiny model appended.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

import opanas_cli
from opanas_cli.commands import LazyGroup, cli, run
from opanas_cli.stage_settings import STAGES, settings_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(opanas_cli.__file__).parent
README = ROOT / "README.md"
PICTURES = ROOT / "docs" / "pictures"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n\s*)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELLS = ("bash", "console")
LANGUAGES = (*SHELLS, "python", "json", "toml")
NO_CODE = ("text", "bibtex")

NO_WORKERS = ("num_workers=0", "persistent_workers=False")
TINY = (
    "model.backbone.depth=18",
    "model.backbone.base_channels=8",
    "model.backbone.stem_channels=8",
    "model.backbone.init_cfg=None",
    "model.neck.in_channels=[8,16,32,64]",
    *(f"{split}_dataloader.{workers}" for split in ("train", "val", "test") for workers in NO_WORKERS),
    "supernet.warmup_iters=0",
    "supernet.watch_sub_nets=2",
    "search.population=2",
    "search.generations=1",
    "search.top_k=1",
    "retrain.warmup_iters=0",
)
"""What makes `custom` train in seconds, beside what makes `shapes` do so."""


@dataclass(frozen=True)
class Block:
    """A block of code on a page, with what its mark says."""

    page: Path
    line: int
    mark: str
    language: str
    body: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Each command line with the output shown below it."""
        text = self.body.replace("\\\n", " ")
        if self.language == "bash":
            return [(line, "") for line in text.splitlines() if line]
        found = re.findall(r"^\$ ([^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", text, re.MULTILINE)
        return [(line, output) for line, output in found]

    @property
    def calls(self) -> list[str]:
        """The calls of opanas among the commands, however they are started."""
        parts = [part.strip() for line, _ in self.commands for part in line.partition(" #")[0].split("&&")]
        calls = [re.sub(r"^(torchrun .*-m opanas_cli|\S*bin/opanas|run) ", "opanas ", part) for part in parts]
        return [call for call in calls if call.startswith("opanas ")]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield Block(page, text.count("\n", 0, found.start(2)) + 1, found[1] or "", found[2], found[3])


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def place(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("block", BLOCKS, ids=place)
def test_each_block_has_a_language_and_a_mark_that_holds(block: Block) -> None:
    assert block.language in (*LANGUAGES, *NO_CODE)
    kind, _, rest = block.mark.partition(" by " if block.mark.startswith("tested") else ": ")
    assert kind in ("", "not run", "tested"), "there is no such mark"
    if kind:
        assert rest
    if kind == "tested":
        assert block.page.name in (ROOT / rest).read_text(encoding="utf-8")


CALLS = list(dict.fromkeys(call for block in BLOCKS if block.language in SHELLS for call in block.calls))


@pytest.mark.parametrize("line", CALLS)
def test_commands_exist(line: str) -> None:
    arguments = shlex.split(line)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="opanas")
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"there is no command '{name}'"
        command = found
    try:
        # Parses the options, their values and the number of arguments, and runs nothing.
        command.make_context(line, arguments, parent=context)
    except click.exceptions.Exit as error:
        assert error.exit_code == 0


def test_every_command_is_shown() -> None:
    assert isinstance(cli, LazyGroup)
    assert set(cli.list_commands(click.Context(cli))) <= {line.split()[1] for line in CALLS}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder of generated shapes under the names of blood cells."""
    pytest.importorskip("mmdet", reason="the extra `mmdet` trains")
    from opanas_cli.detection.data.shapes import generate_shapes

    root = tmp_path_factory.mktemp("data") / "cells"
    generate_shapes(root, num_train=12, num_val=4)
    for file in (root / "annotations").glob("*.json"):
        document = json.loads(file.read_text())
        for category, name in zip(document["categories"], ("RBC", "WBC", "Platelets"), strict=True):
            category["name"] = name
        file.write_text(json.dumps(document))
    return root


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """The folder that all pages share, and the command lines that were run in it: none is run twice."""
    return tmp_path_factory.mktemp("pages"), set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(
    page: Path,
    cells: Path,
    tiny_options: tuple[str, ...],
    done: tuple[Path, set[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, lines = done
    monkeypatch.chdir(folder)
    tiny = [option for option in tiny_options if not option.startswith("data_root")] + [*TINY]
    for block in blocks_of(page):
        if block.mark or block.language in NO_CODE:
            continue
        if block.language == "python":
            run_python(block)
        elif block.language == "json":
            Path("genotype.json").write_text(block.body)
            Path("typo.json").write_text(block.body.replace("top_down", "top_dwn"))
            assert output_of("genotype validate genotype.json") == "genotype.json: valid\n"
        else:
            for line, shown in block.commands:
                if shown or line not in lines:
                    run_command(line, shown, cells, tiny)
                    lines.add(line)


def run_command(line: str, shown: str, cells: Path, tiny: list[str]) -> None:
    assert line.startswith("opanas "), f"{line}: only opanas runs here; mark the block"
    call = line.partition(" #")[0].removeprefix("opanas ").replace("/data/cells", str(cells))
    if "custom" in call:
        call = shlex.join([*shlex.split(call), "--cfg-options", *tiny])
    output = output_of(call)
    if shown:
        assert output == shown, line


def output_of(call: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run(shlex.split(call))
    output = out.getvalue()
    assert code == 0 or output.startswith("opanas: "), output
    return output


def run_python(block: Block) -> None:
    if "_base_ =" not in block.body:
        exec(compile(block.body, block.place, "exec"), {})
        return
    from mmdet.registry import MODELS
    from mmengine.config import Config

    Path("config.py").write_text(block.body)
    MODELS.build(Config.fromfile("config.py").model)


def pages() -> str:
    """All pages, one after another."""
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def test_the_readme_has_the_line_that_ci_runs() -> None:
    # .ci/run reads it out of the README by this pattern, and takes it apart at the last &&.
    lines = [
        line
        for line in README.read_text(encoding="utf-8").splitlines()
        if re.match("python3 -m venv .+/pytest -n auto$", line)
    ]
    assert len(lines) == 1
    steps = lines[0].split(" && ")
    assert [shlex.split(step)[0] for step in steps] == ["python3", ".venv/bin/pip", ".venv/bin/pytest"]


def test_the_pages_name_every_folder_program_and_config() -> None:
    text = pages()
    packages = [f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()]
    programs = [path.name for path in (ROOT / "benchmarks").glob("*.py")]
    shipped = [path.stem for path in (ROOT / "configs").glob("*.py")]
    assert [name for name in [*packages, *programs, *shipped] if name not in text] == []


def settings_table() -> str:
    """All settings of the stages as a table: their defaults, what they must be, and what they are for."""
    rows = ["| setting | `supernet` | `search` | `retrain` | must be | meaning |", "|---|---|---|---|---|---|"]
    stages = [settings_of(stage) for stage in STAGES]
    for name in dict.fromkeys(name for stage in stages for name in stage):
        found = [stage.get(name) for stage in stages]
        defaults = ["" if one is None else str(one.default) for one in found]
        about = next(one for one in found if one is not None).metadata
        rows.append("| " + " | ".join([f"`{name}`", *defaults, about["check"].wanted, about["sentence"]]) + " |")
    return "\n".join(rows)


def test_the_table_of_the_settings_is_what_the_stages_declare() -> None:
    assert settings_table() in (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    """As a code host resolves them; the site's build checks its own, and their headings."""
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).is_file()] == []


def test_the_readme_lists_every_page() -> None:
    text = README.read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in text] == []
    assert len(text.splitlines()) <= 200


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pictures as the script draws them now, by name."""
    folder = tmp_path_factory.mktemp("pictures")
    runpy.run_path(str(PICTURES / "draw.py"))["draw_pictures"](folder)
    return {file.name: file for file in folder.iterdir()}


@pytest.mark.parametrize("name", ["opa-fpn.svg", "chains.svg", "difference.svg"])
def test_a_picture_is_what_the_script_draws_and_a_page_shows_it(drawn: dict[str, Path], name: str) -> None:
    # Coordinates depend on the version of matplotlib.
    new, kept = (
        [
            re.findall(pattern, file.read_text(encoding="utf-8"))
            for pattern in (r">([^<>]+)</text>", r"stroke: (#\w+)", r"stroke-width: ([\d.]+)")
        ]
        for file in (drawn[name], PICTURES / name)
    )
    assert all(new)
    assert new == kept
    assert any(f"pictures/{name})" in page.read_text(encoding="utf-8") for page in PAGES)


def test_the_script_draws_no_other_pictures(drawn: dict[str, Path]) -> None:
    assert sorted(drawn) == ["chains.svg", "difference.svg", "opa-fpn.svg"]


def test_the_readme_says_what_draws_its_picture(drawn: dict[str, Path], tmp_path: Path) -> None:
    (line,) = re.findall(r"`opanas (viz opa-fpn -o )opa-fpn\.svg`", README.read_text(encoding="utf-8"))
    output_of(f"{line}{tmp_path / 'opa-fpn.svg'}")
    assert (tmp_path / "opa-fpn.svg").read_bytes() == drawn["opa-fpn.svg"].read_bytes()
