"""What the command line says of itself."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module

import pytest
import typer
from cli_support import ROOT

from cli.app import app
from kinfold import __version__

VERBS = [
    *("explore", "build", "search", "serve", "worker", "evaluate", "report", "compare", "tune"),
    *("info", "verify", "doctor", "demo"),
    *("models", "keys", "collections", "versions", "snapshot"),
]
TOP = typer.main.get_command(app).commands
GROUPS = ["models", "keys", "collections", "versions", "snapshot"]
COMMANDS = {
    **TOP,
    **{
        f"{group} {name}": command
        for group in GROUPS
        for name, command in TOP[group].commands.items()
    },
}


def test_the_verbs():
    assert list(TOP) == VERBS
    assert list(TOP["models"].commands) == ["list", "add", "take", "remove", "default"]
    assert list(TOP["keys"].commands) == ["create", "list", "revoke", "rotate"]
    assert list(TOP["collections"].commands) == ["list", "create", "drop"]
    assert list(TOP["versions"].commands) == ["list", "activate", "remove", "gc"]
    assert list(TOP["snapshot"].commands) == ["export", "import"]


def test_the_script_is_the_entry_point():
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["kinfold"]
    module, _, function = script.partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("arguments", [["--help"], []], ids=["help", "nothing"])
def test_the_overview_names_every_verb(kinfold, arguments):
    outcome = kinfold(*arguments)
    assert outcome.code == (0 if arguments else 2)
    shown = outcome.out + outcome.err
    assert "Usage: kinfold" in shown
    for verb in VERBS:
        assert re.search(rf"│ {verb} +[A-Z]", shown)


def test_the_version(kinfold):
    assert kinfold("--version").out == f"kinfold {__version__}\n"


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_teaches_by_example(kinfold, verb):
    outcome = kinfold(*verb.split(), "--help")
    assert outcome.code == 0
    assert f"Usage: kinfold {verb}" in outcome.out
    assert re.search(r"Examples?\b", outcome.out)
    assert f"kinfold {verb}" in outcome.out.partition("Example")[2]


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_is_explained(verb):
    for parameter in COMMANDS[verb].params:
        assert len(parameter.help or "") > 8, parameter.name


@pytest.mark.parametrize("verb", COMMANDS)
def test_examples_use_what_there_is(verb):
    """Options that exist, and all that are required."""
    examples = re.findall(r"`(kinfold [^`]+)`", COMMANDS[verb].help)
    assert examples
    for example in examples:
        assert example.startswith(f"kinfold {verb} ")
        words = example.split()
        command = COMMANDS.get(" ".join(words[1:3]), COMMANDS[words[1]])
        known = {name for parameter in command.params for name in parameter.opts}
        required = {parameter.opts[0] for parameter in command.params if parameter.required}
        used = {word for word in words if word.startswith("-")}
        assert used <= known
        assert {option for option in required if option.startswith("-")} <= used


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["build", "x.npy", "--data", "d", "--colection", "c"], "--colection"),
        (["build", "x.npy", "--data", "d"], "--collection"),
        (["build"], "source"),
        (["search", "--data", "d", "--collection", "c", "-k", "ten"], "-k"),
        (["publish"], "publish"),
        (["--nope"], "--nope"),
    ],
    ids=["misspelt option", "missing option", "missing argument", "no number", "no verb", "global"],
)
def test_a_usage_error_shows_the_usage(kinfold, arguments, says):
    outcome = kinfold(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Usage: kinfold" in outcome.err
    assert says in outcome.err.lower()
    assert "Traceback" not in outcome.err
