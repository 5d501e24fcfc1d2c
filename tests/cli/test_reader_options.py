"""Every parameter of every reader can be given on the command line, and every such option is some reader's."""

from __future__ import annotations

import inspect

import pytest

from focus_cli.cli import enhance, preprocess
from focus_cli.cli import inspect as inspect_verb
from focus_cli.cli.options import _READER_OPTIONS
from focus_cli.core.platform_names import PLATFORMS
from focus_cli.platforms.detection import reader_options

VERBS = {"preprocess": preprocess.command, "enhance": enhance.command, "inspect": inspect_verb.command}


def offered(verb) -> set[str]:
    return {parameter.name for parameter in verb.params}


def bare() -> set[str]:
    """The names of the shared reader options."""

    def nothing(**_):
        pass

    for option in _READER_OPTIONS:
        option(nothing)
    return {parameter.name for parameter in nothing.__click_params__}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_reader_parameter_has_its_option(platform, verb):
    assert reader_options(platform) <= offered(VERBS[verb])


def test_every_option_is_some_readers_parameter():
    taken = set().union(*(reader_options(platform) for platform in PLATFORMS))
    assert bare() - {"platform"} == taken


@pytest.mark.parametrize("platform", PLATFORMS)
def test_readers_take_the_path_and_keywords_alone(platform):
    from focus_cli.platforms.detection import _reader

    parameters = list(inspect.signature(_reader(platform).read).parameters.values())
    assert [p.kind for p in parameters[:1]] == [inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is None for p in parameters[1:])
