"""What the documentation shows is true: configurations are accepted, commands exist, links lead somewhere."""

import re
import shlex
from pathlib import Path

import click
import pytest

from edgeagent.config import parse
from tests.cli.commands import COMMANDS, understood

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TARGETS = re.compile(r"^([a-z]+):", re.MULTILINE)


def blocks(page, kind):
    return [text for found, text in FENCE.findall(page.read_text()) if found == kind]


def command_lines(page):
    """Lines of code blocks that begin with edgeagent; broken ones are put together."""
    joined = "\n".join(blocks(page, "")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("edgeagent ")]


def mentions(page):
    """Commands within sentences, such as `edgeagent run --check`: they may be shortened, so names are what counts."""
    prose = FENCE.sub("", page.read_text())
    return re.findall(r"`(edgeagent [a-z][^`]*)`", prose)


def names(page):
    return str(page.relative_to(ROOT))


ALL_LINES = [(names(page), line) for page in PAGES for line in command_lines(page)]
ALL_MENTIONS = [(names(page), line) for page in PAGES for line in mentions(page)]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_configurations_are_accepted(page):
    for text in blocks(page, "toml"):
        parse(text, name=page.name, folder=page.parent)


def test_there_is_something_to_test():
    assert any(blocks(page, "toml") for page in PAGES)
    assert len(ALL_LINES) > 5
    assert len(ALL_MENTIONS) > 20


@pytest.mark.parametrize(("page", "line"), ALL_LINES)
def test_command_lines_are_understood(page, line):
    understood(line)


@pytest.mark.parametrize(("page", "line"), ALL_MENTIONS)
def test_commands_and_options_in_sentences_exist(page, line):
    words = shlex.split(line)[1:]
    path = ()
    while words and (*path, words[0]) in COMMANDS:
        path = (*path, words.pop(0))
    assert path, line
    command = COMMANDS[path]
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= options
    if isinstance(command, click.Group):
        assert not words or words[0].startswith("-"), f"{line}: no such command"


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_somewhere(page):
    prose = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_makes_targets_exist(page):
    known = set(TARGETS.findall((ROOT / "Makefile").read_text()))
    text = page.read_text()
    wanted = set(re.findall(r"^make (\w+)", text, re.MULTILINE)) | set(re.findall(r"`make (\w+)", text))
    assert wanted <= known
