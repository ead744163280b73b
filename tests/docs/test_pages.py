"""Pages lead where they say, and the example settings are settings."""

import pathlib
import re

import msgspec
import pytest

from protocol.peer.settings import Settings, load

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
EXAMPLES = sorted((ROOT / "deploy").glob("*.example.toml"))


def ident(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: pathlib.Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: pathlib.Path) -> set[str]:
    """Names of a page's headings, as GitHub and Forgejo make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_a_pages_links_lead_somewhere(page: pathlib.Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        found = (page.parent / place).resolve() if place else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_a_page_names_no_place_on_the_machine_where_it_was_written(
    page: pathlib.Path,
) -> None:
    assert not re.search(r"/(work|home|root|Users)/", page.read_text())


@pytest.mark.parametrize("path", EXAMPLES, ids=ident)
def test_example_settings_load(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    load(path, {})
    # With every default written out as well, so that each of them is a setting.
    whole = tmp_path / "whole.toml"
    whole.write_text(
        re.sub(r"^# (\w+ = )", r"\1", path.read_text(), flags=re.MULTILINE)
    )
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type):
            assert re.search(rf"^{field.name} = ", whole.read_text(), re.MULTILINE)
    settings = load(whole, {})
    assert settings.server.public_url.startswith("https://")
    assert settings.log.json is True


def test_each_kind_of_server_has_an_example() -> None:
    assert [path.name for path in EXAMPLES] == ["hub.example.toml", "node.example.toml"]
