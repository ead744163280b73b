"""A server's settings: one TOML file, and the environment above it.

Every field of section ``[database]`` named ``url`` can also be given as
``INTERLETS_DATABASE_URL``, which wins. What is unknown or wrong stops the start with
one sentence: a setting that is silently ignored is found out in the worst week.
Secrets never stand in a setting; a setting names the file that holds one.
"""

import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, NoReturn, get_args
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from protocol.errors import InterletsError

_PREFIX = "INTERLETS_"

#: Variables of ``protocol.peer.postgres``, let be here.
_OTHERS_PREFIX = "INTERLETS_POSTGRES_"

_FOUND_LENGTH_MAX = 80
_PORT_MAX = 65_535
#: Whoever is root reads every file, whomever it belongs to.
_ROOT = 0

# A description says what is expected there; failures repeat it word for word.
Listen = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$(?!\n)",
        description="HOST:PORT, such as 127.0.0.1:8401 or [::1]:8401",
    ),
]
PublicUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^/?#\s]+$(?!\n)",
        description="http(s)://HOST without a path, as browsers and peers reach it",
    ),
]
DatabaseUrl = Annotated[
    str,
    Meta(
        pattern=r"^postgres(ql)?://\S+$(?!\n)",
        description="postgresql://USER@HOST/DATABASE",
        extra={"is_secret": True},
    ),
]
TimeZone = Annotated[
    str,
    Meta(description="a time zone by its IANA name, such as Europe/Brussels"),
]
AFolder = Annotated[Path, Meta(description="a folder, relative to the settings file")]
AFile = Annotated[
    Path | None, Meta(description="a file, relative to the settings file")
]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    Meta(description="DEBUG, INFO, WARNING or ERROR"),
]


class SettingsError(InterletsError):
    """What the operator set cannot be: say it in one sentence and do not start."""


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section ``[server]``: where it listens and keeps its keys."""

    listen: Listen = "127.0.0.1:8401"
    public_url: PublicUrl
    data: AFolder
    time_zone: TimeZone = "Europe/Brussels"

    def address(self) -> tuple[str, int]:
        """Split ``listen`` into host and port, as sockets want them."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    def zone(self) -> ZoneInfo:
        """Give the time zone by which this server's people live."""
        return ZoneInfo(self.time_zone)


class DatabaseSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section ``[database]``: this server's own database."""

    url: DatabaseUrl
    password_file: AFile = None
    readers_max: Annotated[
        int, Meta(ge=1, le=16, description="a whole number from 1 to 16")
    ] = 4


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section ``[log]``; without ``json``, lines are JSON unless a person watches."""

    level: Level = "INFO"
    json: Annotated[bool | None, Meta(description="true or false")] = None


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section ``[limits]``: inputs that may wait for the clerk, and be one batch."""

    waiting_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    ] = 4096
    batch_max: Annotated[
        int, Meta(ge=1, le=1000, description="a whole number from 1 to 1000")
    ] = 1000


class AuditSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section ``[audit]``: whether the server audits itself each night, and when."""

    nightly: Annotated[bool, Meta(description="true or false")] = True
    hour: Annotated[
        int, Meta(ge=0, le=23, description="a whole number from 0 to 23, in UTC")
    ] = 3


class CycleSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section ``[cycle]``: whether a hub ends cycles by itself, and when."""

    calendar: Annotated[
        Literal["off", "weekly", "monthly"],
        Meta(description="off, weekly or monthly"),
    ] = "off"
    hour: Annotated[
        int, Meta(ge=0, le=23, description="a whole number from 0 to 23, in UTC")
    ] = 2


class SharingSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section ``[sharing]`` of a hub: what its groups have agreed on beforehand."""

    rule: Annotated[
        Literal["none", "equal", "turnover", "size"],
        Meta(description="none, equal, turnover or size"),
    ] = "none"
    """How what a group leaves behind is shared by the others."""
    charge_rate: Annotated[
        int, Meta(ge=0, le=1_000_000, description="millionths, 0 to 1000000")
    ] = 0
    """What of a position beyond the threshold a cycle costs; 0: nothing."""
    charge_threshold: Annotated[
        int, Meta(ge=0, le=1_000_000, description="millionths, 0 to 1000000")
    ] = 0
    """From which part of a group's limit on."""


class TrialSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section ``[test]``: for trials only; never in a server that people use."""

    kill_at: str = ""
    """Step at which the process kills itself, see ``protocol.peer.steps``."""
    clock_offset_ms: Annotated[
        int,
        Meta(
            ge=-315_360_000_000,
            le=315_360_000_000,
            description="a whole number of milliseconds"
            " from -315360000000 to 315360000000 (ten years)",
        ),
    ] = 0
    """Added to this machine's clock, to try servers whose clocks disagree."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All sections; those without required fields may be left out."""

    server: ServerSettings
    database: DatabaseSettings
    log: LogSettings
    limits: LimitSettings
    audit: AuditSettings
    cycle: CycleSettings
    sharing: SharingSettings
    test: TrialSettings


def environment() -> Mapping[str, str]:
    """This process's environment, for ``load``; tests hand in their own."""
    return os.environ


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read the settings file at ``path`` and put ``environ`` above it.

    Raises:
        SettingsError: unreadable, unknown, missing or wrong; the sentence names the
            file or variable, the setting, what was found and what was expected.
    """
    fields = {
        f"{section.name}.{field.name}": field
        for section in msgspec.structs.fields(Settings)
        for field in msgspec.structs.fields(section.type)
    }
    given = _read_file(path) | _read_environment(environ)
    for name in given:
        if name not in fields:
            _refuse_unknown(given[name].source, name, fields)
    folder = path.absolute().parent
    sections: dict[str, dict[str, object]] = {
        name.partition(".")[0]: {} for name in fields
    }
    for name, field in fields.items():
        section, _, key = name.partition(".")
        if name in given:
            sections[section][key] = _read_value(name, field.type, given[name], folder)
        elif field.required:
            expected = _told(field.type).description
            raise SettingsError(f"{path}: {name} is missing; expected {expected}.")
    return msgspec.convert(sections, Settings, dec_hook=lambda _, ready: ready)


def read_secret(path: Path) -> str:
    """Read a secret from a file that only its owner may read.

    Raises:
        SettingsError: unreadable, another account's, readable by others, or empty.
    """
    try:
        with path.open(encoding="utf-8") as file:
            # Of the file that is open, so that nobody can swap it in between.
            status = os.fstat(file.fileno())
            secret = file.read().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not a text; expected a secret.") from None
    mode, owner = stat.S_IMODE(status.st_mode), status.st_uid
    if owner not in (os.geteuid(), _ROOT):
        raise SettingsError(
            f"{path}: belongs to account {owner}, which can read and change this"
            f" secret; expected account {os.geteuid()}, who runs this (chown)."
        )
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(
            f"{path}: has mode {mode:04o}, so others can reach this secret;"
            " expected 0600 (chmod 600)."
        )
    if not secret:
        raise SettingsError(f"{path}: is empty; expected a secret on its first line.")
    return secret


class _Given(NamedTuple):
    """One value as given: by which file or variable, and whether as mere text."""

    source: str
    value: object
    is_text: bool


def _read_file(path: Path) -> dict[str, _Given]:
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"{path}: is not TOML: {error}.") from error
    for section, values in sections.items():
        # Not shown: what stands in the wrong place may be a secret.
        if not isinstance(values, dict) or section not in _sections():
            raise SettingsError(_unknown_section(str(path), section))
    return {
        f"{section}.{key}": _Given(str(path), value, is_text=False)
        for section, values in sections.items()
        for key, value in values.items()
    }


def _read_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    names = {
        variable: variable.removeprefix(_PREFIX).lower().replace("_", ".", 1)
        for variable in sorted(environ)
        if variable.startswith(_PREFIX) and not variable.startswith(_OTHERS_PREFIX)
    }
    return {
        name: _Given(variable, environ[variable], is_text=True)
        for variable, name in names.items()
    }


def _read_value(name: str, kind: object, given: _Given, folder: Path) -> object:
    """Read one value, or say in one sentence why it cannot be."""

    def place(_: type, value: object) -> object:
        if not isinstance(value, str) or not value:
            raise ValueError(value)
        return folder / value

    told = _told(kind)
    value: object = None
    try:
        value = msgspec.convert(
            given.value, kind, strict=not given.is_text, dec_hook=place
        )
        problem = _find_problem(name, value)
    except ValueError:
        is_secret = (told.extra or {}).get("is_secret", False)
        shown = "something else" if is_secret else _show(given.value)
        problem = f"{shown}; expected {told.description or 'a text'}"
    if problem:
        raise SettingsError(f"{given.source}: {name} is {problem}.")
    return value


def _find_problem(name: str, value: object) -> str | None:
    """Say what is wrong with a value of the right shape; it may raise ValueError."""
    if name == "server.listen" and int(str(value).rpartition(":")[2]) > _PORT_MAX:
        return f"{_show(value)}; expected a port of at most {_PORT_MAX}"
    if name == "server.time_zone" and not _is_zone(str(value)):
        expected = _told(TimeZone).description
        return f"{_show(value)}; expected {expected}"
    if name in ("database.url", "server.public_url") and not _has_port(str(value)):
        return f"a port that is none; expected one of 1 to {_PORT_MAX}"
    if name == "database.url":
        parts = urlsplit(str(value))
        secrets = {"password", "sslpassword"} & parse_qs(parts.query).keys()
        if parts.password is not None or secrets:
            return (
                "a URL with a password inside; expected the password in a file,"
                " named by database.password_file"
            )
    return None


def _refuse_unknown(source: str, name: str, known: Iterable[str]) -> NoReturn:
    section = name.partition(".")[0]
    if section not in _sections():
        raise SettingsError(_unknown_section(source, section))
    siblings = [other for other in known if other.startswith(f"{section}.")]
    raise SettingsError(
        f"{source}: {name} is not a setting; expected one of {', '.join(siblings)}."
    )


def _unknown_section(source: str, section: str) -> str:
    names = ", ".join(f"[{name}]" for name in _sections())
    return f"{source}: {section} is not a section; expected one of {names}."


def _sections() -> list[str]:
    return [field.name for field in msgspec.structs.fields(Settings)]


def _told(kind: object) -> Meta:
    """What the annotation of a field says beside its type."""
    metas = (told for told in get_args(kind) if isinstance(told, Meta))
    return next(metas, Meta())


def _show(value: object) -> str:
    shown = repr(value)
    if len(shown) > _FOUND_LENGTH_MAX:
        shown = shown[:_FOUND_LENGTH_MAX] + "..."
    return shown


def _is_zone(name: str) -> bool:
    """Say whether this machine, or the package tzdata, knows a time zone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return False
    return True


def _has_port(url: str) -> bool:
    """Say whether a URL's port, if it names one, can be one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
