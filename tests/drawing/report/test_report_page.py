"""The page: its numbers are those of the files, it says what is not there, and nothing in a file becomes markup."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from made_work_dir import CANDIDATES, HOSTILE, SETTINGS, Page, write_everything, write_history, write_log

from opanas_cli.drawing.report import read_work_dir, to_page
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.json_lines import with_checksum
from opanas_cli.search import Candidate, Cost, History, Proposal, SearchSettings, StrategySettings
from opanas_cli.search.cost import format_quantity
from opanas_cli.search.history import dump_candidate

SECTIONS = (
    "comparison", "retrained-detectors", "best-genotypes", "candidates", "finalists", "fitness-by-generation",
    "paths-on-each-edge", "training-of-the-super-net", "edge-importances", "ranking-of-the-super-net",
    "time-and-memory", "what-was-searched", "config-and-versions",
)  # fmt: skip


def page_of(folder: Path) -> Page:
    return Page(to_page(read_work_dir(folder)))


def test_a_whole_work_dir_has_every_section_and_no_problem(work_dir: Path) -> None:
    found = read_work_dir(work_dir)
    assert (found.missing, found.problems) == ([], {})
    page = Page(to_page(found))
    assert page.open == []
    assert set(SECTIONS) <= page.text.keys()
    assert "not-there-yet" not in page.text
    assert not [name for name in SECTIONS if "Cannot be shown" in page.text[name]]


def test_the_candidates_are_those_of_the_history(work_dir: Path) -> None:
    page = page_of(work_dir)
    head, *rows = page.rows["candidates"]
    ranked = sorted(CANDIDATES, key=lambda one: -one.fitness)
    assert head[:4] == ["candidate", "AP", "macs", "params"]
    assert [[int(row[0]), row[-1]] for row in rows] == [[one.index, line_of(one.genotype)] for one in ranked]
    numbers = [[one.index, one.fitness, one.cost.macs, one.cost.params, one.proposal.generation] for one in ranked]
    assert [float(value) for value in page.values["candidates"]] == [float(one) for row in numbers for one in row]
    assert rows[0][4:7] == ["1", "crossover", "0 1"]
    assert len(page.titles["candidates"]) == len(CANDIDATES)
    for one in CANDIDATES:
        said = f"{line_of(one.genotype)}: AP {one.fitness:.4f}, {format_quantity(one.cost.macs)} MACs, candidate "
        assert [title for title in page.titles["candidates"] if title.startswith(f"{said}{one.index},")]


def test_the_pareto_front_and_the_limit_are_drawn(work_dir: Path) -> None:
    text = to_page(read_work_dir(work_dir))
    (front,) = re.findall(r'<g class="s1"><polyline.*?</g>', text[text.index('id="candidates"') :])[:1]
    assert re.findall(r'data-row="candidate-(\d)"', front) == ["2", "1", "3"]
    assert "at most 12G MACs" in text


def test_fitness_by_generation(work_dir: Path) -> None:
    rows = page_of(work_dir).rows["fitness-by-generation"]
    assert rows[0] == ["generation", "candidates", "best so far", "best", "mean"]
    assert rows[1:] == [["0", "3", "0.2500", "0.2500", "0.1453"], ["1", "2", "0.3750", "0.3750", "0.3438"]]


def test_paths_are_counted_by_edge_and_generation(work_dir: Path) -> None:
    page = page_of(work_dir)
    rows = {(row[0], row[1]): row[2:] for row in page.rows["paths-on-each-edge"][1:]}
    assert rows["0->1", "0"] == ["2", "0", "0", "0", "1", "0"]
    assert rows["1->2", "1"] == ["2", "0", "0", "0", "0", "0"]
    assert rows["0->2", "0"] == ["1", "1", "0", "0", "0", "1"]
    assert "edge 0->1, generation 0: top-down 2 of 3" in page.titles["paths-on-each-edge"]


def test_losses_importances_and_sub_nets_are_those_of_the_log(work_dir: Path) -> None:
    page = page_of(work_dir)
    assert {"2.5", "1.25", "0.001", "0.03125"} <= set(page.values["training-of-the-super-net"])
    assert page.values["edge-importances"] == ["0.875", "1.5", "-0.25"]
    assert "Super-net: all 3 epochs" in page.text["summary"]


def test_trainings_that_have_not_ended(work_dir: Path) -> None:
    (work_dir / "supernet.pth").unlink()
    next((work_dir / "winner" / "retrain").glob("*/*.json")).unlink()
    page = page_of(work_dir)
    assert "Super-net: epoch 1 of 3, step 20" in page.text["summary"]
    assert page.rows["retrained-detectors"][1][-2] == "epoch 1 of 3, step 20"


def test_trained_networks(work_dir: Path) -> None:
    page = page_of(work_dir)
    assert page.rows["retrained-detectors"] == [
        ["log", "AP", "AP50", "macs", "params", "trained", "neck"],
        ["winner/retrain", "0.4531", "0.6250", "300.4M", "3.31M", "all 3 epochs", "td|none,td"],
    ]
    assert page.values["retrained-detectors"] == ["0.453125", "0.625", "300400000", "3310000"]
    assert page.rows["finalists"][1][:4] == ["td|none,td", "0", "0.4062", "4"]
    assert [page.rows["comparison"][2][place] for place in (6, 7)] == ["better", "0.250 (0.125 to 0.375)"]
    assert {"0.28125", "0.375"} <= set(page.values["ranking-of-the-super-net"])
    times = {row[0]: row[1:4] for row in page.rows["time-and-memory"]}
    assert times["super-net, log"] == ["90", "–", "1000"]
    assert times["evolve"] == ["30.5", "12K", "640"]
    assert times["search: train-supernet"][0] == "115.5"
    assert times["finalists.jsonl, trainings: 1"][0] == "12.5"
    assert {"2.9.1", "Imaginary GPU", "/data/cells", "0.1.0"} <= {row[1] for row in page.rows["config-and-versions"]}


def test_a_finalist_counts_once_whatever_its_rounds(work_dir: Path) -> None:
    found = (("td|none,td", 2, 10.0), ("bu|none,td", 2, 8.0), ("td|none,td", 4, 19.5))
    rows = [{"network": name, "seed": 0, "epochs": epochs, "seconds": seconds} for name, epochs, seconds in found]
    (work_dir / "finalists.jsonl").write_text("".join(with_checksum(row) + "\n" for row in rows))
    times = {row[0]: row[1:] for row in page_of(work_dir).rows["time-and-memory"]}
    assert times["finalists.jsonl, trainings: 2"] == ["27.5", "–", "–", "sum of the rows"]


def test_trainings_of_unknown_time_are_counted(work_dir: Path) -> None:
    rows = [{"network": "td|none,td", "seed": seed, "seconds": seconds} for seed, seconds in ((0, 12.5), (1, None))]
    (work_dir / "comparison.jsonl").write_text("".join(with_checksum(row) + "\n" for row in rows))
    times = {row[0]: row[1:] for row in page_of(work_dir).rows["time-and-memory"]}
    assert times["comparison.jsonl, trainings: 2"] == ["12.5", "–", "–", "sum of the 1 rows that have it"]


def test_a_chain_is_not_taken_for_a_dense_genotype(work_dir: Path) -> None:
    from mmengine.config import Config

    from opanas_cli.detection.configs.necks import with_sub_net

    genotype = Genotype.of(["top_down", "none", "top_down"], "chain")
    config = with_sub_net(Config({"model": {"neck": {"type": "OPASuperNet"}}}), genotype).pretty_text
    next((work_dir / "winner" / "retrain").rglob("config.py")).write_text(config)
    assert page_of(work_dir).rows["retrained-detectors"][1][-1] == "–"


def test_the_best_genotypes_are_drawn(work_dir: Path) -> None:
    page = page_of(work_dir)
    assert "best.json holds candidate 3: td|none,td" in page.text["best-genotypes"]
    # Five architectures, one of them without an output: x2 is dead in it.
    assert page.tags.count("figure") == 5
    assert "P to x1: top-down" in page.titles["best-genotypes"]


def test_a_best_genotype_of_another_search_is_named(work_dir: Path) -> None:
    (work_dir / "history.jsonl").unlink()
    assert "best.json: AP –, – MACstd|none,td" in page_of(work_dir).text["best-genotypes"]
    write_history(work_dir)
    text = (work_dir / "best.json").read_text().replace('"seed": 7', '"seed": 8')
    (work_dir / "best.json").write_text(text)
    assert "best.json is not of this search" in page_of(work_dir).text["best-genotypes"]


def test_an_empty_work_dir_says_what_writes_each_part(tmp_path: Path) -> None:
    found = read_work_dir(tmp_path)
    assert found.problems == {}
    assert len(found.missing) == 10
    page = Page(to_page(found))
    assert not page.text.keys() & set(SECTIONS)
    assert page.text["not-there-yet"].count(": of ") == len(SECTIONS)
    assert "Candidates: of history.jsonl, by opanas evolve" in page.text["not-there-yet"]


def test_a_search_that_has_just_begun(work_dir: Path) -> None:
    history = work_dir / "history.jsonl"
    header, first, second, *_ = history.read_bytes().splitlines(keepends=True)
    for content, count in ((header[:30], 0), (header, 0), (header + first, 1), (header + first + second[:40], 1)):
        history.write_bytes(content)
        found = read_work_dir(work_dir)
        assert (len(found.candidates), found.problems) == (count, {})
        page = Page(to_page(found))
        assert ("1 of 9 candidates, generation 0 of 2" in page.text["summary"]) == bool(count)
        assert not [name for name, text in page.text.items() if "Cannot be shown" in text]


def test_a_corrupt_line_hides_no_candidate_before_it(work_dir: Path) -> None:
    history = work_dir / "history.jsonl"
    lines = history.read_text().splitlines(keepends=True)
    lines[3] = lines[3].replace("0.0625", "0.9")
    history.write_text("".join(lines))
    found = read_work_dir(work_dir)
    assert [one.index for one in found.candidates] == [0, 1]
    page = Page(to_page(found))
    assert "history.jsonl: line 4 is not candidate 2 as it was written" in page.text["summary"]
    assert len(page.rows["candidates"]) == 1 + 2


CORRUPTIONS = {
    "empty": b"",
    "binary": bytes(range(256)),
    "another type": b"[1, 2]\n",
    "an empty object": b"{}\n",
    "deep": b"[" * 100_000 + b"\n",
    "odd values": b'{"metric": {"a": 1}, "networks": 3, "seconds": [1], "winner": "x", "space": 1, "edges": null}\n',
    "long numbers": b'{"seconds": {"a": 1e999, "b": -1e308, "c": ' + b"9" * 4000 + b"}}\n",
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_corrupt_files_still_give_a_page(work_dir: Path, corruption: str) -> None:
    """All at once, and each alone where what it says is used together with other files."""
    files = {path: path.read_bytes() for path in work_dir.rglob("*") if path.is_file()}
    alone = [[path] for path in files] if corruption in ("binary", "odd values") else []
    for paths in ([*files], *alone):
        for path in paths:
            path.write_bytes(CORRUPTIONS[corruption])
        page = page_of(work_dir)
        assert page.open == []
        assert "summary" in page.text
        for path in paths:
            path.write_bytes(files[path])


def test_what_is_no_regular_file_is_not_opened(work_dir: Path) -> None:
    (work_dir / "comparison.jsonl").unlink()
    for name in ("history.jsonl", "best.json", "comparison.json", "supernet.pth"):
        (work_dir / name).unlink()
        os.mkfifo(work_dir / name)
    page = page_of(work_dir)
    assert page.text["summary"].count("it is a named pipe, not a regular file") == 4
    assert "comparison.json cannot be read" in page.text["comparison"]


def test_nothing_in_a_file_becomes_markup(work_dir: Path) -> None:
    """Every text in the files is a script, and so are their keys and the names of folders."""
    for path in [*work_dir.rglob("*.json"), *work_dir.rglob("*.py"), *work_dir.rglob("*.log")]:
        text = re.sub(
            r"(mean_AP|td\|none,td|winner|/data/cells|3\.11\.7|annotations/train\.json)", HOSTILE, path.read_text()
        )
        path.write_text(text)
    hostile = work_dir.with_name('"><img src=x onerror=alert(1)>')
    work_dir.rename(hostile)
    (hostile / "winner").rename(hostile / "<b onclick=alert(1)>")
    page = page_of(hostile)
    assert page.tags.count("script") == 1
    assert {"img", "b"} & set(page.tags) == set()
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in page.text["what-was-searched"]
    assert HOSTILE in page.text["comparison"]
    assert "<b onclick=alert(1)>/retrain" in page.text["retrained-detectors"]


def test_unprintable_and_long_texts(work_dir: Path) -> None:
    text = (work_dir / "comparison.json").read_text()
    (work_dir / "comparison.json").write_text(text.replace('"fpn"', json.dumps("\ud800\x1b[31m\u202e" + "x" * 10_000)))
    page = to_page(read_work_dir(work_dir))
    page.encode()
    assert "�" in page
    assert "x" * 1001 not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page)


def test_the_page_loads_nothing(work_dir: Path) -> None:
    text = to_page(read_work_dir(work_dir))
    page = Page(text)
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "data", "action")]
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    targets = {value for _, name, value in page.attributes if name == "id"}
    assert {link[1:] for link in links if link.startswith("#")} <= targets
    assert not re.search(r"@import|url\(|fetch|XMLHttpRequest|import\(", text)


def test_the_same_work_dir_gives_the_same_page(work_dir: Path, tmp_path: Path) -> None:
    again = tmp_path / "again" / "cells"
    again.mkdir(parents=True)
    write_everything(again)
    one, other = (to_page(read_work_dir(folder)).replace(str(folder), "") for folder in (work_dir, again))
    assert one == other


def test_many_candidates_and_a_long_log_stay_small(tmp_path: Path) -> None:
    settings = SearchSettings(SETTINGS.space, budget=StrategySettings(population=10, generations=349))
    History.create(tmp_path / "history.jsonl", settings)
    with (tmp_path / "history.jsonl").open("a") as file:
        for index in range(3500):
            proposal = Proposal(CANDIDATES[index % 5].genotype, index // 10)
            file.write(dump_candidate(Candidate(index, proposal, Cost(index, 1), index / 3500, {})) + "\n")
    write_log(tmp_path / "train-supernet", [{"loss": 1 / step, "epoch": 1, "step": step} for step in range(1, 20_001)])
    text = to_page(read_work_dir(tmp_path))
    page = Page(text)
    assert len(text) < 3_000_000
    assert "The 500 least fit candidates are left out" in page.text["candidates"]
    assert len(page.titles["training-of-the-super-net"]) <= 300
    assert "step 20000: loss 0.0001" in page.titles["training-of-the-super-net"]
    shown = {row[1] for row in page.rows["paths-on-each-edge"][1:]}
    assert len(shown) <= 20
