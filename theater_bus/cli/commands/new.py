"""`theater-bus new`: write what a plugin consists of, with tests that pass."""

from __future__ import annotations

import re
from importlib import resources
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from theater_bus.cli.command import LazyGroup, Listed, UsageProblem, define
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.failure import CommandFailed
from theater_bus.cli.invocation import Invocation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["command", "plugin"]

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_NAME_MOST: Final = 40
_USED: Final = frozenset(
    {"Annotated", "Any", "BaseSettings", "Capability", "CapabilityError", "Context", "Example", "Field", "Iterable"}
)
"""Names that the written modules use for something else."""

_FILES: Final = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "src/__init__.py.txt": "src/{{module}}/__init__.py",
    "src/capability.py.txt": "src/{{module}}/capability.py",
    "src/pact.txt": "src/{{module}}/{{name}}.pact",
    "tests/test.py.txt": "tests/test_{{python_name}}.py",
}


@define("plugin", short_help="Write a plugin with one capability, and tests that pass.")
@click.argument("name")
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Where; by default ./NAME."
)
@click.option(
    "--package",
    default="example:plugins",
    show_default=True,
    metavar="VENDOR:PACKAGE",
    help="What the interface's name begins with.",
)
def plugin(invocation: Invocation, name: str, folder: Path | None, package: str) -> None:
    """Write a plugin that offers the capability NAME: pact, class, settings, tests, README and pyproject.

    It greets and counts. Its tests pass; change the pact, and they and `theater-bus plugins check` say what to change
    in the class.
    """
    invocation.doing = f"write the plugin {name!r}"
    target = folder or Path(name)
    files = {target / path: text for path, text in _rendered(_words(name, package)).items()}
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        fix = "choose another name, or another folder with --dir"
        raise CommandFailed(f"{target} is there already, and something is in it", fix, ExitCode.FAILED)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    then = [f"cd {target}", "pip install -e '.[test]'", "python -m pytest", f"theater-bus plugins check {name}"]
    shown = {"folder": str(target), "files": [str(path) for path in files], "then": then}
    invocation.out.document(shown, lambda: "\n".join([*map(str, files), "", "Then:", *(f"  {line}" for line in then)]))


def _words(name: str, package: str) -> dict[str, str]:
    """What the templates name. Raises `UsageProblem` for a name that cannot be one."""
    if not _NAME.fullmatch(name) or len(name) > _NAME_MOST:
        fix = f"a to z, 0 to 9 and single hyphens, beginning with a letter, {_NAME_MOST} characters at most: key-value"
        raise UsageProblem(f"{name[:60]!r} is no name for a capability", fix)
    if not re.fullmatch(f"{_NAME.pattern}:{_NAME.pattern}", package):
        raise UsageProblem(f"--package is {package[:60]!r}", "write VENDOR:PACKAGE, like acme:tools")
    if package.partition(":")[0] == "theater":
        raise UsageProblem("packages of `theater` are this project's own", "name yourself, like acme:tools")
    _refuse_taken(name)
    python_name = name.replace("-", "_")
    cls = "".join(part.capitalize() for part in name.split("-"))
    return {
        "name": name,
        "package": package,
        "python_name": python_name,
        "module": f"theater_bus_{python_name}",
        "distribution": f"theater-bus-{name}",
        "cls": f"{cls}Capability" if iskeyword(cls) or cls in _USED else cls,
    }


def _refuse_taken(name: str) -> None:
    from theater_bus.plugins import find

    found = next((one for one in find() if one.name == name), None)
    if found is not None:
        raise UsageProblem(f"there is a plugin {name!r} already: {found}", "choose another name")


def _rendered(words: Mapping[str, str]) -> dict[str, str]:
    """The files by path. Raises `UsageProblem` where the name is a word of pact."""
    from theater_bus.core.values.pact import parse
    from theater_bus.errors import PactSyntaxError

    templates = resources.files("theater_bus.cli") / "new_plugin"
    rendered = {
        _filled(path, words): _filled(templates.joinpath(source).read_text("utf-8"), words)
        for source, path in _FILES.items()
    }
    try:
        parse(next(text for path, text in rendered.items() if path.endswith(".pact")))
    except PactSyntaxError as error:
        raise UsageProblem(f"pact has another meaning for {words['name']!r}: {error}", "choose another name") from error
    return rendered


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: words[found[1]], text)


class _New(LazyGroup):
    """The group; its commands live in this module."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        return {"plugin": plugin}.get(cmd_name)


command = _New(
    "new",
    commands_by_name={
        "plugin": Listed(
            "theater_bus.cli.commands.new", "Write a plugin with one capability, and tests that pass.", "Commands"
        ),
    },
    help="Write the beginning of something new.",
    short_help="Write the beginning of something new.",
)
