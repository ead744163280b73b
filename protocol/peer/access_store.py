"""People, passwords and tokens; only hashes of secrets are kept.

Written in small database transactions of its own: it is neither ledger nor
link. Passwords are Argon2id (19 MiB, t=2, p=1: OWASP), tokens 256 random bits.
"""

import hashlib
import secrets
import uuid
from collections.abc import Collection, Sequence

import asyncpg
import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from protocol.base64url import write_base64url
from protocol.errors import OutageError
from protocol.instant import Instant, from_datetime, from_nullable, to_datetime
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
_DAY_MS = 86_400_000
TOKEN_DAYS = 90
ONCE_DAYS = 7
#: Codes for a whole group are handed out over weeks, at meetings and by post.
ONCE_DAYS_OF_MANY = 30
_ERRAND_MS = 120_000
PASSWORD_LENGTH_MIN = 10
PASSWORD_LENGTH_MAX = 200


class Caller(msgspec.Struct, frozen=True):
    """Who asks.

    Attributes:
        person_id: the person.
        account_id: the member's account; ``None`` for a treasurer or admin
            without one.
        scopes: what this token may do: ``read``, ``pay``, ``treasurer``, ...
    """

    person_id: str
    account_id: str | None
    scopes: frozenset[str]


class Person(msgspec.Struct, frozen=True):
    """A person as she signs in; ``is_removed``: nothing lets her in any more."""

    person_id: str
    account_id: str | None
    password_hash: str | None
    is_removed: bool = False


class SignedIn(msgspec.Struct, frozen=True):
    """Something that lets a person in while it counts: a link's code or a token.

    ``id`` is the hash of its secret: it names it, and lets nobody in.
    """

    id: str
    kind: str
    since: Instant
    until: Instant


class StaffMember(msgspec.Struct, frozen=True, kw_only=True):
    """One of those who run this server.

    Attributes:
        person_id: of her.
        name: with which she signs in.
        role: what she may do.
        since: when she was invited; ``None``: at the very beginning.
        invited_by: name of the person; ``None``: a command beside no server.
        removed_at: if she was.
        sign_ins: what lets her in now, oldest first.
    """

    person_id: str
    name: str
    role: str
    since: Instant | None
    invited_by: str | None
    removed_at: Instant | None
    sign_ins: tuple[SignedIn, ...]


def hash_password(password: str) -> str:
    """Hash a password (33 ms: call it in a thread)."""
    kdf = Argon2id(
        salt=secrets.token_bytes(16),
        length=32,
        iterations=2,
        lanes=1,
        memory_cost=19 * 1024,
    )
    return kdf.derive_phc_encoded(password.encode())


#: Verified when nobody has such a name, so that it takes as long as a wrong password.
_NOBODYS_HASH = hash_password(secrets.token_urlsafe())


def is_password(password: str, password_hash: str | None) -> bool:
    """Say whether a password is right; takes as long when there is none."""
    try:
        Argon2id.verify_phc_encoded(password.encode(), password_hash or _NOBODYS_HASH)
    except InvalidKey:
        return False
    return password_hash is not None


def hash_secret(secret: str) -> str:
    """Give what is kept of a secret of 256 random bits."""
    return write_base64url(hashlib.sha256(secret.encode()).digest())


async def add_person(
    connection: AnyConnection,
    name: str,
    account_id: str | None,
    password_hash: str | None,
) -> None:
    """Keep a person who may sign in; one that is there keeps what she has.

    Raises:
        OutageError: this database has no tables yet.
    """
    try:
        await connection.execute(
            _SQL["insert_person"], uuid.uuid4(), name, account_id, password_hash
        )
    except asyncpg.UndefinedTableError:
        raise OutageError("this database has no tables yet; run init first") from None


async def read_person(connection: AnyConnection, name: str) -> Person | None:
    """Find a person by the name she signs in with."""
    row = await connection.fetchrow(_SQL["read_person"], name)
    if row is None:
        return None
    return Person(
        str(row["person_id"]),
        row["account_id"],
        row["password_hash"],
        row["removed_at"] is not None,
    )


async def new_token(
    connection: AnyConnection, person_id: str, scopes: Collection[str], now: Instant
) -> tuple[str, Instant]:
    """Make a bearer token; gives it, for the only time, and until when it counts."""
    return await _grant(
        connection, person_id, "token", scopes, now, TOKEN_DAYS * _DAY_MS
    )


async def new_once(
    connection: AnyConnection, person_id: str, scopes: Collection[str], now: Instant
) -> tuple[str, Instant]:
    """Make a one-time code for someone; her earlier ones count no more.

    Call it in a transaction: a link that is lost must not stay good beside the new.
    """
    await connection.execute(_SQL["end_onces"], person_id)
    return await _grant(connection, person_id, "once", scopes, now, ONCE_DAYS * _DAY_MS)


async def invite_person(
    connection: AnyConnection,
    name: str,
    scopes: Collection[str],
    now: Instant,
    account_id: str | None = None,
) -> str:
    """Give someone a one-time code, known before or not.

    Without an account it is someone who runs this server. Call it in a transaction.
    """
    await add_person(connection, name, account_id, None)
    person = await read_person(connection, name)
    assert person is not None, "it was added just now"
    code, _ = await new_once(connection, person.person_id, scopes, now)
    return code


async def read_outside(connection: AnyConnection) -> list[str]:
    """Give the members' accounts that nobody has signed in to yet."""
    rows = await connection.fetch(_SQL["read_outside"])
    return [row["account_id"] for row in rows]


async def invite_members(
    connection: AnyConnection,
    accounts: Sequence[str],
    scopes: Collection[str],
    now: Instant,
) -> tuple[dict[str, str], Instant, int]:
    """Give many members a one-time code each; their earlier ones count no more.

    Call it in a transaction. Gives the codes by account, for the only time, until
    when they count, and how many earlier ones ended.
    """
    codes = {account: secrets.token_urlsafe(32) for account in accounts}
    until = Instant(now + ONCE_DAYS_OF_MANY * _DAY_MS)
    await connection.execute(_SQL["insert_people"], list(accounts))
    ended = await connection.fetch(_SQL["end_onces_of"], list(accounts))
    await connection.execute(
        _SQL["insert_onces"],
        list(codes),
        [hash_secret(code) for code in codes.values()],
        sorted(scopes),
        to_datetime(now),
        to_datetime(until),
    )
    return codes, until, len(ended)


async def new_errand(
    connection: AnyConnection, name: str, scopes: Collection[str], now: Instant
) -> str:
    """Make a token for one request of a command; it counts for two minutes.

    Raises:
        OutageError: nobody of that name runs this server yet.
    """
    try:
        person = await read_person(connection, name)
    except asyncpg.UndefinedTableError:
        person = None
    if person is None:
        raise OutageError("nobody runs this server yet; run init first")
    if person.is_removed:
        raise OutageError(
            f"{name} was removed from those who run this server; to let her in again"
            " run: sign-in"
        )
    token, _ = await _grant(
        connection, person.person_id, "token", scopes, now, _ERRAND_MS
    )
    return token


async def give_role(
    connection: AnyConnection,
    name: str,
    role: str,
    now: Instant,
    invited_by: str | None = None,
) -> None:
    """Let someone who was invited run this server too, or again.

    One who is among the staff already keeps her place; with another role than before
    nothing lets her in until she uses her new link.
    """
    await connection.execute(
        _SQL["give_role"], name, role, to_datetime(now), invited_by
    )


async def read_staff(
    connection: AnyConnection, now: Instant, *, to_change: bool = False
) -> list[StaffMember]:
    """Give those who run this server, or did, by name.

    Args:
        connection: any; inside a database transaction to change anything.
        now: what has lapsed by then is left out.
        to_change: nobody else may change anything of theirs until it ends.
    """
    if to_change:
        await connection.execute(_SQL["lock_staff"])
    rows = await connection.fetch(_SQL["read_staff"])
    sign_ins: dict[str, list[SignedIn]] = {str(row["person_id"]): [] for row in rows}
    for row in await connection.fetch(
        _SQL["read_sign_ins"], list(sign_ins), to_datetime(now)
    ):
        sign_ins[str(row["person_id"])].append(
            SignedIn(
                row["secret_hash"],
                row["kind"],
                from_datetime(row["since"]),
                from_datetime(row["until"]),
            )
        )
    return [
        StaffMember(
            person_id=str(row["person_id"]),
            name=row["sign_in_name"],
            role=row["role"],
            since=from_nullable(row["since"]),
            invited_by=row["invited_by"],
            removed_at=from_nullable(row["removed_at"]),
            sign_ins=tuple(sign_ins[str(row["person_id"])]),
        )
        for row in rows
    ]


async def read_name(connection: AnyConnection, person_id: str) -> str:
    """Give the name that a person signs in with; her id, should she have none."""
    found: str | None = await connection.fetchval(_SQL["read_name"], person_id)
    return person_id if found is None else found


async def remove_person(
    connection: AnyConnection, person_id: str, now: Instant
) -> None:
    """Let nothing let a person in any more, until she is invited again."""
    await connection.execute(_SQL["remove_person"], person_id, to_datetime(now))
    await end_sign_ins(connection, person_id)


async def end_sign_ins(
    connection: AnyConnection, person_id: str, sign_in: str | None = None
) -> int:
    """Let a person's sign-ins count no more, all or one; gives how many there were."""
    rows = await connection.fetch(_SQL["end_sign_ins"], person_id, sign_in)
    return len(rows)


async def shut_out(connection: AnyConnection, name: str) -> tuple[int, bool]:
    """Let nothing that a person has let anybody in any more, her password neither.

    Call it in a database transaction.

    Returns:
        How many sign-ins and links there were, and whether there was a password.
    """
    person = await read_person(connection, name)
    if person is None:
        return 0, False
    rows = await connection.fetch(_SQL["end_password"], person.person_id)
    return await end_sign_ins(connection, person.person_id), bool(rows)


async def end_token(connection: AnyConnection, token: str) -> None:
    """Let a token count no more."""
    await connection.execute(_SQL["end_token"], hash_secret(token))


async def _grant(
    connection: AnyConnection,
    person_id: str,
    kind: str,
    scopes: Collection[str],
    now: Instant,
    within_ms: int,
) -> tuple[str, Instant]:
    secret = secrets.token_urlsafe(32)
    until = Instant(now + within_ms)
    await connection.execute(
        _SQL["insert_access"],
        hash_secret(secret),
        person_id,
        kind,
        sorted(scopes),
        to_datetime(now),
        to_datetime(until),
    )
    return secret, until


async def read_caller(
    connection: AnyConnection, token: str, now: Instant
) -> Caller | None:
    """Say whose token this is; ``None`` when it does not count."""
    row = await connection.fetchrow(
        _SQL["read_token"], hash_secret(token), to_datetime(now)
    )
    if row is None:
        return None
    return Caller(str(row["person_id"]), row["account_id"], frozenset(row["scopes"]))


async def spend_once(
    connection: AnyConnection, code: str, now: Instant
) -> tuple[str, frozenset[str]] | None:
    """Use up a one-time code; gives person and scopes, or ``None``."""
    row = await connection.fetchrow(
        _SQL["spend_once"], hash_secret(code), to_datetime(now)
    )
    if row is None:
        return None
    return str(row["person_id"]), frozenset(row["scopes"])
