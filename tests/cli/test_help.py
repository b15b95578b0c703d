"""Every command's help: it works, fits a terminal, has examples that parse, and says what each option is for."""

import re

import click
import pytest
from click.testing import CliRunner

from edgeagent.cli.main import VERBS, cli
from tests.cli.commands import COMMANDS, understood

WIDTH = 80
MACHINES_READ = {
    "status", "ps", "probe", "image build", "image inspect", "keys init", "keys show", "keys retire", "collect",
    "collect boards", "collect gaps", "simulate", "replay", "boards", "boards show",
    "crash list", "crash show", "crash replay",
}  # fmt: skip


def help_of(path, capsys=None):
    result = CliRunner().invoke(cli, [*path, "--help"], catch_exceptions=False, terminal_width=WIDTH)
    assert result.exit_code == 0
    return result.output


def examples_of(text):
    """Commands of a help page, with what was broken after a backslash put together."""
    tail = re.split(r"^  Examples?:$", text, maxsplit=1, flags=re.MULTILINE)[1]
    joined = re.sub(r" \\\n +", " ", tail)
    return [line.strip() for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help(path):
    text = help_of(path)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\b" not in text
    assert "\\b" not in text
    lines = examples_of(text)
    assert lines
    for line in lines:
        command = re.sub(r"^source <\((.*)\)$", r"\1", line)
        assert command.startswith(" ".join(("edgeagent", *path)))
        understood(command)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_means(path):
    for one in COMMANDS[path].params:
        if isinstance(one, click.Option):
            assert one.help, one.opts


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_summaries_arent_cut(path):
    command = COMMANDS[path]
    if isinstance(command, click.Group) and path:
        assert not re.search(r"\w\.\.\.$", help_of(path), re.MULTILINE)


def test_the_table_of_verbs_is_true():
    context = click.Context(cli)
    for verb in VERBS:
        found = cli.get_command(context, verb)
        assert found is not None
        assert found.name == verb
    for code in ("0  done", "130  interrupted"):
        assert code in help_of(())


@pytest.mark.parametrize("words", sorted(MACHINES_READ))
def test_json_where_a_machine_may_read_it(words):
    options = [option for one in COMMANDS[tuple(words.split())].params for option in one.opts]
    assert "--json" in options


def test_wrong_examples_are_seen():
    for line in ("edgeagent status --wach", "edgeagent keys shwo", "edgeagent keys init", "edgeagent replay"):
        with pytest.raises(click.UsageError):
            understood(line)
