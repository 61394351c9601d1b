"""The schema of what commands print with --json; `tests/conftest.py` checks each document that a test makes."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema
import pytest

import opanas_cli
from opanas_cli.commands import cli, run
from opanas_cli.commands.common.console import Console

SCHEMA = json.loads((Path(opanas_cli.__file__).parent / "commands" / "documents.schema.json").read_text())


def commands_with_json(group: click.Group, path: str = "") -> Iterator[str]:
    """The commands below a group that have --json, by what follows `opanas`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands_with_json(command, f"{path}{name} ")
        elif command is not None and any("--json" in parameter.opts for parameter in command.params):
            yield f"{path}{name}"


def test_the_shell_completes_files_where_a_config_or_a_genotype_is_asked_for() -> None:
    paths = ("compare", "correlate", "evolve", "export", "profile", "retrain", "search", "train-supernet", "viz")
    for command in (cli.get_command(click.Context(cli), path) for path in paths):
        assert command is not None
        (first,) = [given for given in command.params if isinstance(given, click.Argument)][:1]
        asked = [first, *(one for one in command.params if {"--genotype", "--dataset", "--config"} & {*one.opts})]
        for parameter in asked:
            completed = parameter.shell_complete(click.Context(command), "wi")
            assert [(item.type, item.value) for item in completed] == [("file", "wi")], (command.name, parameter.name)


def test_each_command_that_has_json_has_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == set(commands_with_json(cli))


def test_a_document_that_is_not_as_the_schema_says_fails_a_test(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["genotype", "list", "--json"]) == 0
    checked = Console.print_document
    monkeypatch.setattr(Console, "print_document", staticmethod(lambda document: checked({**document, "other": 1})))
    assert run(["genotype", "list", "--json"]) == 1
    assert "'other' was unexpected" in capsys.readouterr().err
