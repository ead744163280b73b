"""What others have made and we carry is what they published, and small enough."""

import gzip
import hashlib
import pathlib
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
STATIC = ROOT / "protocol" / "peer" / "web" / "static"
FOLDERS = (STATIC / "vendor", ROOT / "tests" / "browser" / "vendor")
FIRST_VISIT_BYTES_MAX = 60_000


def listed(folder: pathlib.Path) -> dict[str, dict[str, str]]:
    found = tomllib.loads((folder / "vendor.toml").read_text())["file"]
    return {file["name"]: file for file in found}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_every_file_is_as_its_makers_published_it(folder: pathlib.Path) -> None:
    for name, file in listed(folder).items():
        assert (
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == (file["sha256"])
        ), name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_every_file_is_listed_with_its_licence(folder: pathlib.Path) -> None:
    files = listed(folder)
    licences = {file["licence_file"] for file in files.values()}
    assert {path.name for path in folder.iterdir()} == {
        "vendor.toml",
        *files,
        *licences,
    }
    for file in files.values():
        assert file["version"] and file["licence"]
        assert len((folder / file["licence_file"]).read_text()) > 300


def test_a_first_visit_fetches_little() -> None:
    # A page itself is some 8 kB and is sent as it is.
    files = [*STATIC.glob("*.*"), *(STATIC / "vendor").glob("*.min.*")]
    assert len(files) == 5
    packed = sum(len(gzip.compress(file.read_bytes())) for file in files)
    assert packed + 8_000 < FIRST_VISIT_BYTES_MAX
