import os
from pathlib import Path

import pytest

from protocol.peer.settings import (
    Settings,
    SettingsError,
    environment,
    load,
    read_secret,
)

GOOD = """
[server]
public_url = "https://mechelen.example"
data = "data"

[database]
url = "postgresql://mechelen@127.0.0.1:5432/mechelen"
password_file = "passwords/mechelen"
"""

URL = "postgresql://mechelen@127.0.0.1:5432/mechelen"
OFFSET = "INTERLETS_TEST_CLOCK_OFFSET_MS"


def read_settings(folder: Path, text: str = GOOD, **environ: str) -> Settings:
    file = folder / "mechelen.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def refusal(folder: Path, text: str = GOOD, **environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        read_settings(folder, text, **environ)
    return str(refused.value)


def test_a_short_file_is_enough(tmp_path: Path) -> None:
    settings = read_settings(tmp_path)
    assert settings.server.address() == ("127.0.0.1", 8401)
    assert settings.database.readers_max == 4
    assert settings.limits.waiting_max == 4096
    assert settings.limits.batch_max == 1000
    assert settings.log.level == "INFO"
    assert settings.test.kill_at == ""


def test_folders_and_files_stand_beside_the_settings(tmp_path: Path) -> None:
    settings = read_settings(tmp_path)
    assert settings.server.data == tmp_path / "data"
    assert settings.database.password_file == tmp_path / "passwords/mechelen"


def test_an_absolute_folder_stays_where_it_is(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, INTERLETS_SERVER_DATA="/srv/interlets")
    assert settings.server.data == Path("/srv/interlets")


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    settings = read_settings(
        tmp_path,
        INTERLETS_SERVER_LISTEN="[::1]:9000",
        INTERLETS_DATABASE_READERS_MAX="2",
        INTERLETS_LOG_JSON="true",
        INTERLETS_TEST_CLOCK_OFFSET_MS="-90000",
    )
    assert settings.server.address() == ("::1", 9000)
    assert settings.database.readers_max == 2
    assert settings.log.json is True
    assert settings.test.clock_offset_ms == -90_000


def test_the_environment_can_give_what_the_file_lacks(tmp_path: Path) -> None:
    settings = read_settings(
        tmp_path,
        "",
        INTERLETS_SERVER_PUBLIC_URL="http://127.0.0.1:8401",
        INTERLETS_SERVER_DATA="data",
        INTERLETS_DATABASE_URL="postgresql:///mechelen?host=/run/postgresql",
    )
    assert settings.database.url == "postgresql:///mechelen?host=/run/postgresql"


def test_other_programs_and_another_module_keep_their_variables(
    tmp_path: Path,
) -> None:
    assert read_settings(tmp_path, INTERLETS_POSTGRES_BIN="/opt/pg/bin", PATH="/bin")


def test_the_environment_is_that_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INTERLETS_LOG_LEVEL", "DEBUG")
    assert environment()["INTERLETS_LOG_LEVEL"] == "DEBUG"


@pytest.mark.parametrize(
    ("more", "path", "expected"),
    [
        ("urll = 1", "database.urll is not", "one of database.url, "),
        ("readers_max = 0", "database.readers_max is 0;", "from 1 to 16"),
        ("readers_max = 17", "database.readers_max is 17;", "from 1 to 16"),
        ('readers_max = "4"', "database.readers_max is '4';", "a whole number"),
        ("readers_max = 4.0", "database.readers_max is 4.0;", "a whole number"),
        ("readers_max = true", "database.readers_max is True;", "a whole number"),
        ("[limits]\nbatch_max = 1001", "limits.batch_max is 1001;", "1 to 1000"),
        ('[log]\nlevel = "LOUD"', "log.level is 'LOUD';", "WARNING or ERROR"),
        ("[log]\njson = 1", "log.json is 1;", "true or false"),
        ("[test]\nkill_at = 1", "test.kill_at is 1;", "a text"),
        ("[datbase]\nx = 1", "datbase is not a section;", "[server], [database]"),
        ("[datbase]", "datbase is not a section;", "[server], [database]"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(
    tmp_path: Path, more: str, path: str, expected: str
) -> None:
    told = refusal(tmp_path, GOOD + more)
    assert told.startswith(f"{tmp_path / 'mechelen.toml'}: {path}")
    assert expected in told.partition("expected")[2]
    assert told.endswith(".")
    assert "\n" not in told


@pytest.mark.parametrize("readers_max", [1, 16])
def test_the_limits_themselves_are_allowed(tmp_path: Path, readers_max: int) -> None:
    settings = read_settings(tmp_path, f"{GOOD}readers_max = {readers_max}")
    assert settings.database.readers_max == readers_max


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("INTERLETS_DATABSE_URL", URL, "databse is not a section"),
        ("INTERLETS_DATABASE_ULR", URL, "database.ulr is not a setting"),
        ("INTERLETS_DATABASE_READERS_MAX", "four", "'four'; expected a whole number"),
        (OFFSET, "9" * 20, f"test.clock_offset_ms is '{'9' * 20}'; expected a whole"),
        (OFFSET, "315360000001", "from -315360000000 to 315360000000 (ten years)"),
        (OFFSET, "-315360000001", "from -315360000000 to 315360000000 (ten years)"),
        ("INTERLETS_LOG_JSON", "yes", "'yes'; expected true or false"),
        ("INTERLETS_SERVER_LISTEN", "8401", "'8401'; expected HOST:PORT"),
        ("INTERLETS_SERVER_LISTEN", "localhost:65536", "a port of at most 65535"),
        ("INTERLETS_SERVER_PUBLIC_URL", "https://a.example/x", "without a path"),
        ("INTERLETS_SERVER_DATA", "", "a folder"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(
    tmp_path: Path, variable: str, value: str, expected: str
) -> None:
    told = refusal(tmp_path, **{variable: value})
    assert told.startswith(f"{variable}: ")
    assert expected in told


@pytest.mark.parametrize("offset", [-315_360_000_000, 315_360_000_000])
def test_a_clock_may_be_ten_years_off(tmp_path: Path, offset: int) -> None:
    settings = read_settings(tmp_path, **{OFFSET: str(offset)})
    assert settings.test.clock_offset_ms == offset


def test_the_last_port_is_allowed(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, INTERLETS_SERVER_LISTEN="localhost:65535")
    assert settings.server.address() == ("localhost", 65_535)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://marie:hunter2@127.0.0.1/mechelen",
        "postgresql://127.0.0.1/mechelen?user=marie&password=hunter2",
        "mysql://marie:hunter2@127.0.0.1/mechelen",
        "marie:hunter2",
    ],
)
def test_a_password_is_refused_and_never_repeated(tmp_path: Path, url: str) -> None:
    told = refusal(tmp_path, INTERLETS_DATABASE_URL=url)
    assert "database.url" in told
    assert "hunter2" not in told


def test_a_password_in_the_url_is_told_where_to_go(tmp_path: Path) -> None:
    told = refusal(tmp_path, GOOD.replace("mechelen@", "mechelen:hunter2@"))
    assert "database.password_file" in told
    assert "hunter2" not in told


def test_a_password_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    told = refusal(tmp_path, 'password = "hunter2"\n' + GOOD)
    assert "password is not a section" in told
    assert "hunter2" not in told


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    told = refusal(tmp_path, GOOD.partition("[database]")[0])
    assert "database.url is missing; expected postgresql://" in told


def test_a_missing_file_and_a_file_that_is_no_toml_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read: No such"):
        load(tmp_path / "nowhere.toml", {})
    assert "mechelen.toml: is not TOML" in refusal(tmp_path, "[server")


def test_a_secret_of_mine_alone_is_read_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter 2 \r\n")
    file.chmod(0o600)
    assert read_secret(file) == "hunter 2 "


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2")
    file.chmod(mode)
    with pytest.raises(SettingsError, match="expected 0600") as refused:
        read_secret(file)
    assert "hunter2" not in str(refused.value)


def test_a_secret_of_another_account_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2")
    file.chmod(0o600)
    own = os.geteuid()
    if own == 0:
        os.chown(file, 12_345, -1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: own + 1)
    with pytest.raises(SettingsError, match="belongs to account") as refused:
        read_secret(file)
    assert "hunter2" not in str(refused.value)


def test_an_empty_or_missing_secret_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    os.close(os.open(file, os.O_CREAT, 0o600))
    with pytest.raises(SettingsError, match="is empty"):
        read_secret(file)
    with pytest.raises(SettingsError, match="nowhere: cannot be read"):
        read_secret(tmp_path / "nowhere")
