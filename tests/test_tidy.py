"""Properties of the source itself (after TigerBeetle's ``tidy.zig``)."""

import ast
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ("clearing", "nodes", "protocol")
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
STORES = sorted(
    path for name in PACKAGES for path in (ROOT / name).rglob("*_store.sql")
)

#: The demo: who starts servers, what is started, what is played.
OUTSIDE = [
    ROOT / "deploy" / f"{name}.py"
    for name in ("demo", "month", "seen", "servers", "story")
]

FUNCTION_LINES_MAX = 70

#: Words with a better one in the glossary, see docs/glossary.md.
BANNED = re.compile(
    r"(^|_)(txn|trx|wallet|user|escrow|util|utils|helper|helpers|manager|misc|info)(_|$)"
)


def names(source: str) -> set[str]:
    """Names that this source defines, not those that a library gives."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name.lower())
        elif isinstance(node, ast.arg):
            found.add(node.arg.lower())
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id.lower())
    return found


def ident(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=ident)
def test_names_come_from_the_glossary(path: pathlib.Path) -> None:
    assert not {name for name in names(path.read_text()) if BANNED.search(name)}
    assert not BANNED.search(path.stem)


@pytest.mark.parametrize("path", MODULES, ids=ident)
def test_a_function_fits_on_a_screen(path: pathlib.Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("path", STORES, ids=ident)
def test_every_query_is_described_and_used(path: pathlib.Path) -> None:
    text = path.read_text()
    store = path.with_suffix(".py").read_text()
    for name in re.findall(r"^-- ([a-z0-9_]+) --$", text, re.MULTILINE):
        assert re.search(rf"^-- {name} --\n-- [A-Z]", text, re.MULTILINE), name
        assert f'"{name}"' in store, name


def imported(path: pathlib.Path) -> set[str]:
    """Top names of what a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=ident)
def test_only_stores_speak_to_the_database(path: pathlib.Path) -> None:
    if path.stem.endswith("_store") or path.stem in ("database", "postgres"):
        return
    assert "asyncpg" not in imported(path)


@pytest.mark.parametrize("path", OUTSIDE, ids=ident)
def test_the_demo_stands_outside(path: pathlib.Path) -> None:
    # Otherwise it could show what no member or treasurer can reach over HTTP.
    assert not imported(path) & {*PACKAGES, "asyncpg"}


@pytest.mark.parametrize("path", OUTSIDE, ids=ident)
def test_the_demo_needs_the_standard_library_alone(path: pathlib.Path) -> None:
    beside = {one.stem for one in OUTSIDE}
    assert imported(path) <= {*sys.stdlib_module_names, *beside}
