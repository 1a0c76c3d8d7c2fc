"""What the documentation mentions exists: links, commands, options, settings, variables, files, pages."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from theater_bus import HostSettings
from theater_bus.cli.main import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
GENERATED = re.compile(r"(?:Written|Generated) by `?docs/generators/(\w+)\.py")
INFRA_TEXT = (".yaml", ".yml", ".service", ".conf", ".env", ".py", "")
# What this project takes from the environment beside the settings of a host.


def load_snippets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_snippets", ROOT / "docs" / "snippets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


snippets = load_snippets()
PAGES = {str(page.relative_to(ROOT)): page for page in snippets.pages()}
OTHERS = sorted(path for path in (ROOT / "infra").rglob("*") if path.is_file() and path.suffix in INFRA_TEXT)


def code_of(page: Path) -> Iterator[str]:
    """Everything on a page that is set as code: blocks line by line, and inline pieces."""
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    yield from (" ".join(piece.split()) for piece in re.findall(r"`([^`]+)`", prose))
    for block in snippets.blocks(page):
        yield from block.text.splitlines()


def command_lines(text: str) -> Iterator[list[str]]:
    """The uses of our command in a piece of code."""
    found = re.search(r"(?:^|[\s/\"])(?:theater-bus|tbus) ([a-z].*)", text)
    if found and re.match(r"[a-z-]+( |$)", found[1]):
        try:
            yield shlex.split(found[1].rstrip("`"))
        except ValueError:
            yield found[1].split()


def options_of(command: click.Command) -> set[str]:
    context = click.Context(command)
    return {
        option for parameter in command.get_params(context) for option in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    page = PAGES[name]
    for link in snippets.links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name} links to {link}"
        assert target.is_relative_to(ROOT), f"{name} links out of the repository: {link}"
        if anchor:
            assert anchor in snippets.anchors(target), f"{name} links to {link}, which has no such heading"


def test_every_page_of_docs_is_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = ((page.parent / link.partition("#")[0]).resolve() for link in snippets.links(page))
        waiting += (target for target in targets if target.suffix == ".md" and target.is_file())
    missing = [name for name, page in PAGES.items() if name.startswith("docs/") and page not in seen]
    assert not missing


@pytest.mark.parametrize("name", PAGES)
def test_marks_are_known_and_blocks_that_are_not_run_say_why(name: str) -> None:
    for block in snippets.blocks(PAGES[name]):
        assert block.language, f"{block.place} says no language"
        assert set(block.marks) <= set(snippets.MARKS), f"{block.place}: {block.marks}"
        assert "not run" not in block.marks or len(block.marks["not run"]) > 10, f"{block.place} says no reason"


@pytest.mark.parametrize("name", PAGES)
def test_every_command_that_a_page_mentions_exists_with_its_options(name: str) -> None:
    context = click.Context(cli)
    for text in code_of(PAGES[name]):
        for words in command_lines(text):
            command = cli.get_command(context, words[0])
            assert command is not None, f"{name}: there is no command {words[0]!r} in {text!r}"
            rest = words[1:]
            while isinstance(command, click.Group) and rest and re.fullmatch("[a-z-]+", rest[0]):
                command, rest = command.get_command(click.Context(command), rest[0]), rest[1:]
                assert command is not None, f"{name}: {text!r}"
            known = options_of(command) | options_of(cli)
            for word in rest:
                option = word.partition("=")[0].rstrip(",.;)")
                if re.fullmatch(r"--?[a-z][a-z-]*", option):
                    assert option in known, f"{name}: {words[0]} has no option {option}, in {text!r}"


def test_the_commands_of_the_service_and_of_the_image_exist() -> None:
    unit = (ROOT / "infra" / "systemd" / "theater-bus.service").read_text("utf-8")
    [started] = re.findall(r"^ExecStart=\S*/theater-bus (.+)$", unit, re.MULTILINE)
    image = (ROOT / "infra" / "Dockerfile").read_text("utf-8")
    [typed] = re.findall(r"^CMD \[(.+)\]$", image, re.MULTILINE)
    for words in (started.split(), re.findall(r'"([^"]+)"', typed)):
        assert words[0] in COMMANDS
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None
        assert {word for word in words if word.startswith("--")} <= options_of(command)


def test_every_variable_that_pages_and_infra_mention_is_read() -> None:
    commands = [cli, *(cli.get_command(click.Context(cli), name) for name in COMMANDS)]
    options = [option for command in commands if command is not None for option in command.params]
    known = {f"THEATER_BUS_{name.upper()}" for name in HostSettings.model_fields}
    known |= {option.envvar for option in options if isinstance(option.envvar, str)}
    for path in (*PAGES.values(), *OTHERS):
        for variable in re.findall(r"THEATER_BUS_[A-Z_]*[A-Z]", path.read_text("utf-8")):
            assert variable in known, f"{path.relative_to(ROOT)} mentions {variable}"


@pytest.mark.parametrize("name", PAGES)
def test_every_file_of_the_repository_that_a_page_mentions_exists(name: str) -> None:
    written = {block.marks.get("file") for block in snippets.blocks(PAGES[name])}
    for text in code_of(PAGES[name]):
        if re.fullmatch(r"(?:docs|infra|tests|plugins|theater_bus|requirements)/[\w./-]+", text):
            assert text in written or (ROOT / text).exists(), f"{name} mentions {text}"


def test_every_generator_has_a_page_and_every_generated_file_its_generator() -> None:
    files = [*PAGES.values(), *OTHERS, *(ROOT / "infra").rglob("*.json")]
    named = {found[1] for path in files if (found := GENERATED.search(path.read_text("utf-8")))}
    assert named == {path.stem for path in (ROOT / "docs" / "generators").glob("*.py")}


def test_the_committed_settings_are_the_rendered_ones() -> None:
    spec = importlib.util.spec_from_file_location("docs_host_settings", ROOT / "docs/generators/host_settings.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert (ROOT / generator.TARGET).read_text("utf-8") == generator.render(), "run: make docs"


def test_go_and_typescript_send_what_python_sends() -> None:
    page = PAGES["docs/how-to/call-from-any-nats-client.md"]
    call = re.compile(r"""equest\(\s*"([^"]+)",\s*(?:b|\[\]byte\()?"([^"]+)\"""")
    sent = {
        language: [
            call.findall(block.text)
            for block in snippets.blocks(page)
            if block.language == language and call.search(block.text)
        ]
        for language in ("python", "go", "typescript")
    }
    assert sent["go"] == sent["typescript"] == sent["python"][:1]
    assert sent["go"] == [[("theater.default.ops.counter.increment", "[5]")]]
