"""Imports point one way, and files and functions stay readable."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Who may import whom; everything may import itself. Tests and bench may import everything.
ARROWS = {
    "worker": {"workflows", "activities", "claude", "shim", "runtime"},
    "handlers": {"workflows", "claude", "runtime"},
    "demo": {"workflows", "claude", "shim", "runtime"},
    "doctor": {"worker", "workflows", "activities", "claude", "shim", "runtime"},
    "workflows": {"activities", "claude"},
    "activities": {"claude", "shim"},
    "claude": {"shim", "runtime"},
    "shim": set[str](),
    "runtime": set[str](),
}
OURS = {*ARROWS, "bench", "tests"}

# Three commands are the front doors of programs that stand above the handlers; and a handler looks at itself in the
# doctor's words.
DOORS = {
    "handlers/up.py": {"worker"},
    "handlers/cli.py": {"demo"},
    "handlers/doctor.py": {"doctor"},
    "handlers/signal/checkup.py": {"doctor"},
}

# The budget of the house: past it a file has more than one noun, or a function more than one verb.
MODULE_LINES = 300
FUNCTION_LINES = 50


def sources() -> list[Path]:
    return [path for part in sorted(ARROWS) for path in [*ROOT.glob(f"{part}/**/*.py"), *ROOT.glob(f"{part}.py")]]


def all_sources() -> list[Path]:
    return [*sources(), *sorted(ROOT.glob("bench/**/*.py"))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def forbidden(part: str, source: str) -> set[str]:
    return (set(imported(ast.parse(source))) & OURS) - ARROWS[part] - {part}


@pytest.mark.parametrize("path", sources(), ids=name)
def test_imports_point_one_way(path: Path) -> None:
    """A module imports only from the packages that its own may know."""
    assert forbidden(part_of(path), path.read_text()) - DOORS.get(name(path), set()) == set()


def test_an_import_against_the_arrows_is_found() -> None:
    """Every form of import that turns an arrow around is seen, also inside a function."""
    source = "import workflows.session\ndef f():\n    from activities import session\nimport os, shim.client\n"

    assert forbidden("claude", source) == {"workflows", "activities"}


@pytest.mark.parametrize("path", sorted(ROOT.glob("shim/**/*.py")), ids=name)
def test_the_shim_needs_the_standard_library_only(path: Path) -> None:
    """The shim runs with `-I -S`, where nothing installed can be imported."""
    assert set(imported(ast.parse(path.read_text()))) <= {"shim", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", all_sources(), ids=name)
def test_modules_and_functions_stay_short(path: Path) -> None:
    """No module is longer than 300 lines, no function longer than 50."""
    source = path.read_text()

    too_long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES
    ]

    assert too_long == []
    assert len(source.splitlines()) <= MODULE_LINES


def test_every_package_is_in_the_distribution() -> None:
    """What the arrows know is what the wheel carries, and nothing else."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]

    assert {entry.removesuffix(".py") for entry in shipped} == {*ARROWS, "bench"}


@pytest.mark.parametrize("path", sorted(ROOT.glob("tests/**/test_*.py")), ids=name)
def test_every_test_says_what_it_promises(path: Path) -> None:
    """Each test has a docstring that states the behaviour in a sentence."""
    silent = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []
