"""Sessions of people who sign in on pages; only hashes of their secrets are kept.

A session counts for 30 days from its last use, gets a new secret at each sign-in,
and can be ended from any other one. It lies beside the tokens of programs
(``protocol.peer.access_store``), so that whatever ends all of a person's ends it too.
"""

import secrets
from collections.abc import Collection

import msgspec

from protocol.instant import Instant, from_datetime, to_datetime
from protocol.peer.access_store import Caller, hash_secret
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
SESSION_S = 30 * 86_400
#: A use is noted at most so often.
_NOTED_MS = 3_600_000
#: Of what a browser says of itself, characters.
BROWSER_LENGTH_MAX = 200


class Session(msgspec.Struct, frozen=True):
    """Somebody who is signed in.

    Attributes:
        session_id: names the session to its owner; it lets nobody in.
        caller: who she is and what she may do.
        name: what she signs in with.
        language: what she likes to read, if she ever said so.
        has_password: she can come back by herself.
        is_due: her use of it should be noted.
    """

    session_id: str
    caller: Caller
    name: str
    language: str | None
    has_password: bool
    is_due: bool


class Listed(msgspec.Struct, frozen=True):
    """A session as its owner sees it in a list."""

    session_id: str
    browser: str
    since: Instant
    seen: Instant


async def open_session(
    connection: AnyConnection,
    person_id: str,
    scopes: Collection[str],
    browser: str,
    now: Instant,
) -> str:
    """Begin a session; gives its secret, for the only time."""
    secret = secrets.token_urlsafe(32)
    await connection.execute(_SQL["end_old_sessions"], to_datetime(now))
    await connection.execute(
        _SQL["insert_session"],
        hash_secret(secret),
        person_id,
        sorted(scopes),
        browser[:BROWSER_LENGTH_MAX],
        to_datetime(now),
        to_datetime(_until(now)),
    )
    return secret


async def read_session(
    connection: AnyConnection, secret: str, now: Instant
) -> Session | None:
    """Say whose session this is; ``None`` when it does not count."""
    row = await connection.fetchrow(
        _SQL["read_session"], hash_secret(secret), to_datetime(now)
    )
    if row is None:
        return None
    return Session(
        session_id=row["secret_hash"],
        caller=Caller(
            str(row["person_id"]), row["account_id"], frozenset(row["scopes"])
        ),
        name=row["sign_in_name"],
        language=row["language"],
        has_password=row["has_password"],
        is_due=from_datetime(row["seen"]) < now - _NOTED_MS,
    )


async def touch(connection: AnyConnection, session_id: str, now: Instant) -> None:
    """Note that a session is used, so that it counts for longer."""
    await connection.execute(
        _SQL["touch_session"], session_id, to_datetime(now), to_datetime(_until(now))
    )


async def read_sessions(
    connection: AnyConnection, person_id: str, now: Instant
) -> list[Listed]:
    """List a person's sessions, the newest used first."""
    rows = await connection.fetch(_SQL["read_sessions"], person_id, to_datetime(now))
    return [
        Listed(
            session_id=row["secret_hash"],
            browser=row["browser"],
            since=from_datetime(row["since"]),
            seen=from_datetime(row["seen"]),
        )
        for row in rows
    ]


async def end_session(
    connection: AnyConnection, person_id: str, session_id: str
) -> None:
    """Let one of a person's sessions count no more; nobody else's."""
    await connection.execute(_SQL["end_session"], person_id, session_id)


async def end_other_sessions(
    connection: AnyConnection, person_id: str, session_id: str
) -> None:
    """Let all of a person's sessions but this one count no more."""
    await connection.execute(_SQL["end_other_sessions"], person_id, session_id)


async def write_language(
    connection: AnyConnection, person_id: str, language: str
) -> None:
    """Keep in which language a person likes to read."""
    await connection.execute(_SQL["write_language"], person_id, language)


async def write_password(
    connection: AnyConnection, person_id: str, password_hash: str
) -> None:
    """Keep the hash of a person's new password."""
    await connection.execute(_SQL["write_password"], person_id, password_hash)


def _until(now: Instant) -> Instant:
    return Instant(now + SESSION_S * 1000)
