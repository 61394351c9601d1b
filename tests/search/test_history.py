"""The history on disk: resumable at every byte, refused when it is not ours."""

from __future__ import annotations

import json
import os
import re
import zlib
from dataclasses import replace

import pytest

from opanas_cli.errors import InvalidInputError, OpanasError, UsageError
from opanas_cli.genotype import PAPER_PATHS, SearchSpace
from opanas_cli.json_lines import with_checksum, without_checksum
from opanas_cli.search import STRATEGIES, Constraints, History, SearchSettings, StrategySettings, run_search
from opanas_cli.search.history import dump_candidate, recorded_search

SETTINGS = SearchSettings(
    SearchSpace(2),
    budget=StrategySettings(population=6, generations=3, top_k=3),
    seed=7,
    constraints=Constraints(max_macs=102_000_000_000),
    evaluation={"supernet": "sha256:0123", "images": 500},
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.jsonl"


@pytest.fixture
def run(evaluator, cost_of):
    def search(history, settings=SETTINGS, **options):
        strategy = STRATEGIES.all[settings.strategy](settings.space, settings.budget, settings.seed)
        return run_search(strategy, evaluator, cost_of, settings.constraints, history, **options)

    return search


@pytest.fixture
def whole(path, run):
    """The bytes of an uninterrupted search."""
    run(History.create(path, SETTINGS))
    return path.read_bytes()


def test_a_line_for_the_settings_and_one_for_each_candidate(whole, evaluator):
    header, *candidates = map(json.loads, whole.splitlines())

    assert header["format"] == "opanas-history"
    assert header["version"] == 2
    assert header["settings"]["seed"] == 7
    assert header["settings"]["space"] == {"num_nodes": 2, "kind": "dense", "paths": list(map(str, PAPER_PATHS))}
    assert header["settings"]["evaluation"] == {"supernet": "sha256:0123", "images": 500}
    assert [candidate["index"] for candidate in candidates] == list(range(24))
    assert [candidate["fitness"] for candidate in candidates] == list(map(evaluator.fitness, evaluator.asked))
    assert candidates[0]["paths"] == list(map(str, evaluator.asked[0].paths))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 1.0])
def test_reading_what_another_process_writes(path, whole, share):
    """The whole lines of what there is so far; the file stays as it is."""
    written = whole[: int(share * len(whole))]
    path.write_bytes(written)
    settings, candidates = recorded_search(path)
    header, *lines = written.decode().rpartition("\n")[0].split("\n")
    assert settings == (SETTINGS.document() if header else {})
    assert [dump_candidate(candidate) for candidate in candidates] == lines
    assert path.read_bytes() == written


def test_reading_a_corrupt_history_gives_what_comes_before(path, whole):
    lines = whole.decode().splitlines(keepends=True)
    other = with_checksum({**without_checksum(lines[3].rstrip()), "paths": ["top_down"]})
    for line, reason in (("{}\n", "line 4 is not a candidate"), (f"{other}\n", "line 4 is no genotype of the space")):
        path.write_text("".join([*lines[:3], line, *lines[4:]]))
        _, candidates = recorded_search(path)
        assert [next(candidates).index, next(candidates).index] == [0, 1]
        with pytest.raises(InvalidInputError, match=rf"history\.jsonl: {reason}"):
            next(candidates)
    path.write_text(with_checksum({"format": "opanas-history", "version": 2, "settings": {"space": 3}}) + "\n")
    with pytest.raises(InvalidInputError, match="line 1 has no search space"):
        recorded_search(path)


@pytest.mark.parametrize("strategy", STRATEGIES.built_in)
def test_a_search_killed_after_any_candidate_goes_on_to_the_same_file(path, run, evaluator, strategy):
    settings = replace(SETTINGS, strategy=strategy)
    result = run(History.create(path, settings), settings)
    lines = path.read_bytes().splitlines(keepends=True)

    for kept in range(len(lines) + 1):
        path.write_bytes(b"".join(lines[:kept]))
        evaluator.asked.clear()
        resumed = run(History.resume(path, settings), settings, batch_size=4)

        assert path.read_bytes() == b"".join(lines)
        assert resumed == result
        missing = len(lines) - max(kept, 1)
        assert missing <= len(evaluator.asked) < missing + 4, "a batch that was cut short is evaluated whole"


def test_a_search_killed_at_any_byte_goes_on_to_the_same_file(path, run, whole):
    header = whole.index(b"\n") + 1
    interesting = {*range(header + 400), *range(len(whole) - 400, len(whole))}
    for size in sorted(interesting):
        path.write_bytes(whole[:size])
        torn = size > header and whole[size - 1 : size] != b"\n"
        if torn:
            with pytest.warns(UserWarning, match="was cut short and is evaluated again"):
                history = History.resume(path, SETTINGS)
        else:
            history = History.resume(path, SETTINGS)
        assert path.read_bytes() == whole[: max(whole.rfind(b"\n", 0, size) + 1, header)]
        assert history.recorded == History.resume(path, SETTINGS).recorded
    run(history)
    assert path.read_bytes() == whole


def test_a_history_that_is_too_large(path):
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(InvalidInputError, match=r"history\.jsonl: cannot be read \(it is larger than 1024 MiB\)"):
        History.resume(path, SETTINGS)


def test_a_candidate_is_on_disk_before_the_next_is_evaluated(path, run, evaluator):
    original = evaluator.evaluate
    lines = []

    def watching(genotypes):
        lines.append(path.read_bytes().count(b"\n"))
        return original(genotypes)

    evaluator.evaluate = watching
    run(History.create(path, SETTINGS))

    assert lines == list(range(1, 25))


def test_every_candidate_is_synced_to_the_disk_by_itself(path, run, monkeypatch):
    synced = []
    history = History.create(path, SETTINGS)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))

    run(history, batch_size=6)

    lines = path.read_bytes().splitlines(keepends=True)
    assert synced == [sum(map(len, lines[: count + 1])) for count in range(1, 25)]


def test_an_evaluator_that_fails_loses_nothing_that_was_evaluated(path, run, evaluator, whole):
    path.unlink()
    original = evaluator.evaluate
    evaluator.asked.clear()

    def failing(genotypes):
        if len(evaluator.asked) == 10:
            raise KeyboardInterrupt
        return original(genotypes)

    evaluator.evaluate = failing
    with pytest.raises(KeyboardInterrupt):
        run(History.create(path, SETTINGS))
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:11])

    evaluator.evaluate = original
    told = []
    run(History.resume(path, SETTINGS), on_progress=told.append)
    assert path.read_bytes() == whole
    assert [progress.resumed for progress in told] == [True] * 10 + [False] * 14


def test_a_finished_search_can_be_read_again_without_an_evaluation(path, run, evaluator, whole):
    evaluator.asked.clear()

    result = run(History.resume(path, SETTINGS))

    assert not evaluator.asked
    assert len(result.evaluated) == 24
    assert path.read_bytes() == whole


def test_followers_replay_without_writing(path, run, whole):
    recorded = History.resume(path, SETTINGS).recorded[:5]
    follower = History(recorded)

    result = run(follower)

    assert list(result.evaluated) == follower.recorded == History.resume(path, SETTINGS).recorded
    assert path.read_bytes() == whole


def test_a_new_search_does_not_overwrite_an_old_one(path, whole):
    with pytest.raises(UsageError, match="a search already exists; add --resume"):
        History.create(path, SETTINGS)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "seed was 7 and is now 8"),
        ({"strategy": "random"}, 'strategy was "evolution" and is now "random"'),
        ({"metric": "AP50"}, 'metric was "AP" and is now "AP50"'),
        ({"space": SearchSpace(3)}, "space.num_nodes was 2 and is now 3"),
        ({"budget": replace(SETTINGS.budget, top_k=5)}, "budget.top_k was 3 and is now 5"),
        ({"constraints": Constraints()}, "constraints.max_macs was 102000000000 and is now null"),
        (
            {"evaluation": {"supernet": "sha256:4567"}},
            'evaluation.supernet was "sha256:0123" and is now "sha256:4567"; evaluation.images was 500 and is now null',
        ),
    ],
)
def test_a_history_of_other_settings_is_refused_and_kept(path, whole, change, message):
    with pytest.raises(UsageError, match="belongs to a different search") as error:
        History.resume(path, replace(SETTINGS, **change))
    assert message in str(error.value)
    assert path.read_bytes() == whole


def test_latencies_are_kept_to_the_last_bit(path, evaluator, cost_of):
    def timed(genotype):
        return replace(cost_of(genotype), latency_ms=len(set(genotype.paths)) / 7)

    settings = replace(SETTINGS, constraints=Constraints(max_latency_ms=3 / 7))
    strategy = STRATEGIES.all["evolution"]
    search = strategy(settings.space, settings.budget, settings.seed)
    result = run_search(search, evaluator, timed, settings.constraints, History.create(path, settings))

    recorded = History.resume(path, settings).recorded
    assert tuple(recorded) == result.evaluated
    assert {candidate.cost.latency_ms for candidate in recorded} == {2 / 7, 3 / 7}
    again = strategy(settings.space, settings.budget, settings.seed)
    assert run_search(again, evaluator, timed, settings.constraints, History(recorded)) == result


def sealed(fields):
    """The line of `fields` with a checksum that fits."""
    del fields["crc32"]
    text = json.dumps(fields)
    return json.dumps({**fields, "crc32": f"{zlib.crc32(text.encode()):08x}"}).encode() + b"\n"


def edited(whole, line, change):
    lines = whole.splitlines(keepends=True)
    fields = json.loads(lines[line - 1])
    change(fields)
    lines[line - 1] = sealed(fields)
    return b"".join(lines)


@pytest.mark.parametrize("line", [1, 2, 9, 25])
def test_a_changed_digit_is_found(path, whole, line):
    lines = whole.splitlines(keepends=True)
    text = lines[line - 1].decode()
    for place in (match.start() for match in re.finditer(r"\d", text)):
        other = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
        path.write_bytes(b"".join([*lines[: line - 1], other.encode(), *lines[line:]]))
        with pytest.raises(InvalidInputError, match=rf"history\.jsonl: line {line}\b"):
            History.resume(path, SETTINGS)


def test_a_line_without_a_checksum_is_refused(path, whole):
    lines = whole.splitlines(keepends=True)
    fields = json.loads(lines[8])
    del fields["crc32"]
    path.write_bytes(b"".join([*lines[:8], json.dumps(fields).encode() + b"\n", *lines[9:]]))
    with pytest.raises(InvalidInputError, match=r"line 9 is not candidate 7 as it was written; delete .* line 9 on"):
        History.resume(path, SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("fitness"),
        lambda fields: fields.update(extra=1),
        lambda fields: fields.update(index=8),
        lambda fields: fields.update(index=True),
        lambda fields: fields.update(fitness=float("nan")),
        lambda fields: fields.update(fitness="0.5"),
        lambda fields: fields.update(fitness=10**400),
        lambda fields: fields.update(paths=["top_down", "top_dwn", "none"]),
        lambda fields: fields.update(paths=["top_down"] * 2),
        lambda fields: fields.update(paths=None),
        lambda fields: fields.update(parents=7),
        lambda fields: fields.update(origin="alien"),
        lambda fields: fields.update(cost=[]),
        lambda fields: fields["cost"].update(latency_ms="1.0"),
        lambda fields: fields["cost"].update(latency_ms=1),
        lambda fields: fields["cost"].update(latency_ms=float("inf")),
        lambda fields: fields.update(metrics={"AP": None}),
    ],
)
def test_a_corrupt_line_is_named_and_the_file_kept(path, whole, change):
    path.write_bytes(broken := edited(whole, 9, change))

    with pytest.raises(InvalidInputError, match=r"history\.jsonl: line 9 is not .*delete the file from line 9 on"):
        History.resume(path, SETTINGS)
    assert path.read_bytes() == broken


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"\0" * 100])
def test_a_line_of_rubbish_is_named_even_as_the_last_one(path, whole, line):
    lines = whole.splitlines()
    for number in (4, 25):
        path.write_bytes(b"\n".join([*lines[: number - 1], line, *lines[number:]]) + b"\n")
        with pytest.raises(InvalidInputError, match=f"line {number} is not "):
            History.resume(path, SETTINGS)


def test_zeros_where_the_last_write_was_lost_are_a_line_cut_short(path, run, whole):
    path.write_bytes(whole + b"\0" * 50)

    with pytest.warns(UserWarning, match="line 26 was cut short"):
        History.resume(path, SETTINGS)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "content", [b"{}\n", b"hello\n", b"hello", b'{"format": "opanas-genotype"}', b"\xff", b"[]\n\n"]
)
def test_a_file_that_is_no_history_is_refused_and_kept(path, content):
    path.write_bytes(content)

    with pytest.raises(InvalidInputError, match="line 1"):
        History.resume(path, SETTINGS)
    assert path.read_bytes() == content


@pytest.mark.parametrize("version", [1, 3])
def test_a_history_of_another_version_is_refused(path, whole, version):
    path.write_bytes(whole.replace(b'"version": 2', b'"version": %d' % version, 1))

    with pytest.raises(InvalidInputError, match=f"reads histories of version 2, but got {version}; choose another"):
        History.resume(path, SETTINGS)


def test_an_edited_candidate_is_found_out_in_the_replay(path, run, whole):
    path.write_bytes(edited(whole, 4, lambda fields: fields["paths"].reverse()))

    with pytest.raises(InvalidInputError, match="candidate 2 of the history does not match these settings"):
        run(History.resume(path, SETTINGS))


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, run):
    (tmp_path / "file").touch()

    with pytest.raises(OpanasError, match="cannot be written"):
        History.create(tmp_path / "file" / "history.jsonl", SETTINGS)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        History.resume(tmp_path, SETTINGS)
    with pytest.raises(OpanasError, match="cannot be written"):
        run(History(path=tmp_path))
