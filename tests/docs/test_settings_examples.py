"""The examples of settings, and operating's table, say what the program does."""

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocol.peer.settings import Settings, load

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = [ROOT / "deploy" / f"{name}.example.toml" for name in ("hub", "node")]
FIELD = re.compile(r"(?m)^# (?=[a-z_]+ = )")
SECTION = re.compile(r"^\[([a-z]+)\]$")


def fields() -> dict[str, Any]:
    """Every setting, by its path."""
    return {
        f"{section.name}.{field.name}": field
        for section in msgspec.structs.fields(Settings)
        for field in msgspec.structs.fields(section.type)
    }


def named(text: str) -> dict[str, object]:
    """What a TOML text sets, by path."""
    return {
        f"{section}.{name}": value
        for section, values in tomllib.loads(text).items()
        for name, value in values.items()
    }


def by_name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", EXAMPLES, ids=by_name)
def test_an_example_loads_as_it_stands(path: Path) -> None:
    assert load(path, {}).server.public_url.startswith("https://")


@pytest.mark.parametrize("path", EXAMPLES, ids=by_name)
def test_an_example_names_every_setting_and_no_other(path: Path) -> None:
    assert named(FIELD.sub("", path.read_text())).keys() == fields().keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=by_name)
def test_what_an_example_leaves_out_stands_at_its_default(path: Path) -> None:
    text = path.read_text()
    said = named(text)
    left_out = {
        name: value
        for name, value in named(FIELD.sub("", text)).items()
        if name not in said
    }
    assert left_out, "an example shows some defaults"
    for name, value in left_out.items():
        default = fields()[name].default
        # Nothing in TOML means "left out", so such a field shows what it may be.
        assert default is None or default == value, name
    whole = load(path, {})
    for name in left_out:
        section, _, field = name.partition(".")
        assert getattr(getattr(whole, section), field) == fields()[name].default


@pytest.mark.parametrize("path", EXAMPLES, ids=by_name)
def test_every_setting_of_an_example_is_explained(path: Path) -> None:
    lines = path.read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if re.match(r"(# )?[a-z_]+ = ", line):
            assert re.match(r"# (?![a-z_]+ = )\S", before), line


def test_the_table_for_operators_names_every_setting_and_its_default() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `([a-z]+\.[a-z_]+)` \| ([^|]+) \|", text))
    assert rows.keys() == fields().keys()
    for name, told in rows.items():
        field = fields()[name]
        if field.required:
            assert told == "needed", name
        elif field.default is None:
            assert told in ("none", "by itself"), name
        elif field.default == "":
            assert told == "empty", name
        else:
            shown = str(field.default)
            assert told.strip("`") == (shown.lower() if shown == "True" else shown)


@pytest.mark.parametrize("path", EXAMPLES, ids=by_name)
@pytest.mark.parametrize("name", fields())
def test_every_setting_can_come_from_the_environment(path: Path, name: str) -> None:
    section, _, field = name.partition(".")
    variable = f"INTERLETS_{section}_{field}".upper()
    value = named(FIELD.sub("", path.read_text()))[name]
    given = str(value).lower() if isinstance(value, bool) else str(value)
    found = getattr(getattr(load(path, {variable: given}), section), field)
    assert found == (path.parent / given if isinstance(found, Path) else value)
