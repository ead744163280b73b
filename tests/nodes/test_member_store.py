"""Members, what was decided about them, and answers, on a real PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from nodes import app, member_store
from nodes.rules import Answer, KeepAnswer, NoteStanding, SaveMember, Standing
from protocol.effects import Effect, OpenAccount, SetLimits
from protocol.errors import TreasurerRefusalCode
from protocol.peer import access_store
from protocol.peer.ledger_store import NEWEST
from tests.peer.makers import NOW, later
from tests.peer.tables import Books, account, entry_id, tables
from tests.protocol.makers import hash_of

NewDatabase = Callable[[], Awaitable[str]]


class Desk(Books):
    """A node's ledger with its members, written as the clerk writes both."""

    async def keep(self, *effects: Effect, at: int = 0) -> None:
        await self.write(*effects)
        async with self.connection.transaction():
            await member_store.write(self.connection, effects, later(at))

    async def admit(self, name: str, **changes: Any) -> None:
        standing = Standing(name=name.title(), floor=None, ceiling=None)
        await self.keep(
            OpenAccount(account(name, **changes)),
            SaveMember(name, name.title()),
            NoteStanding(name, None, standing),
        )

    async def changes(self, name: str) -> list[member_store.Change]:
        return await member_store.read_changes(self.connection, name, NEWEST, 50)


@asynccontextmanager
async def desk(new_database: NewDatabase) -> AsyncIterator[Desk]:
    async with tables(new_database, app.MIGRATIONS) as connection:
        yield Desk(connection)


async def test_a_member_is_read_as_she_was_admitted(new_database: NewDatabase) -> None:
    async with desk(new_database) as made:
        await made.admit("an", floor=-5, ceiling=7)
        found = await member_store.read_member(made.connection, "an")
        assert found == member_store.Member(
            "An", account("an", floor=-5, ceiling=7), NOW
        )
        assert await member_store.read_member(made.connection, "bo") is None


async def test_one_admitted_and_named_anew_in_one_batch_is_written_once(
    new_database: NewDatabase,
) -> None:
    async with desk(new_database) as made:
        await made.keep(
            OpenAccount(account("an")),
            SaveMember("an", "An"),
            SaveMember("an", "An P."),
        )
        await made.keep(SaveMember("an", "An Peeters"), at=5)
        found = await member_store.read_member(made.connection, "an")
        assert found is not None
        assert (found.name, found.since) == ("An Peeters", NOW)
        assert await member_store.read_names(made.connection, ["an", "bo"]) == {
            "an": "An Peeters"
        }


async def test_pages_of_members_are_by_account(new_database: NewDatabase) -> None:
    async with desk(new_database) as made:
        for name in ("cis", "an", "bo"):
            await made.admit(name)
        page = await member_store.read_members(made.connection, "", 2)
        assert [one.account.account_id for one in page] == ["an", "bo"]
        page = await member_store.read_members(made.connection, "bo", 2)
        assert [one.account.account_id for one in page] == ["cis"]
        assert len(await member_store.read_members(made.connection)) == 3


async def test_what_was_decided_is_kept_in_order_with_its_author(
    new_database: NewDatabase,
) -> None:
    async with desk(new_database) as made:
        await made.admit("an")
        await access_store.add_person(made.connection, "@treasurer", None, None)
        person = await access_store.read_person(made.connection, "@treasurer")
        assert person is not None
        first = Standing(name="An", floor=-5, ceiling=None)
        last = Standing(name="An", floor=-5, ceiling=9, frozen=True)
        await made.keep(
            NoteStanding("an", person.person_id, first),
            NoteStanding("an", person.person_id, last),
            at=7,
        )
        changes = await made.changes("an")
        assert [change.standing for change in changes][:2] == [last, first]
        assert [change.author for change in changes] == [
            "@treasurer",
            "@treasurer",
            None,
        ]
        assert [change.at for change in changes] == [later(7), later(7), NOW]
        rest = await member_store.read_changes(
            made.connection, "an", changes[0].number, 1
        )
        assert rest == changes[1:2]


@pytest.mark.parametrize(
    "sql", ["UPDATE member_limit SET floor = 1", "DELETE FROM member_limit"]
)
async def test_what_was_decided_is_never_changed(
    new_database: NewDatabase, sql: str
) -> None:
    async with desk(new_database) as made:
        await made.admit("an")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await made.connection.execute(sql)


async def test_a_closed_account_is_kept(new_database: NewDatabase) -> None:
    async with desk(new_database) as made:
        await made.admit("an")
        await made.keep(SetLimits("an", None, None, False, True))
        found = await member_store.read_member(made.connection, "an")
        assert found is not None
        assert found.account.closed


async def test_an_answer_is_given_back_as_it_was_kept(
    new_database: NewDatabase,
) -> None:
    answers = {
        ("someone", "1"): Answer(
            body_hash=hash_of("1"),
            transfer_id=None,
            code=None,
            at=NOW,
            entry_id=entry_id(1),
        ),
        ("someone", "2"): Answer(
            body_hash=hash_of("2"),
            transfer_id=None,
            code=TreasurerRefusalCode.MEMBER_FLOOR,
            at=NOW,
            account_id="an",
        ),
        ("an", "1"): Answer(
            body_hash=hash_of("3"), transfer_id=entry_id(2), code=None, at=NOW
        ),
    }
    async with desk(new_database) as made:
        await made.keep(
            *(KeepAnswer(*place, answer) for place, answer in answers.items())
        )
        asked = [*answers, ("an", "2")]
        assert await member_store.read_answers(made.connection, asked) == answers


async def test_a_token_of_a_closed_account_only_reads(
    new_database: NewDatabase,
) -> None:
    async with desk(new_database) as made:
        await made.admit("an")
        code = await access_store.invite_person(
            made.connection, "an", ["pay", "read", "batch"], NOW, "an"
        )
        spent = await access_store.spend_once(made.connection, code, NOW)
        assert spent is not None
        token, _ = await access_store.new_token(made.connection, *spent, NOW)

        async def scopes() -> set[str]:
            caller = await access_store.read_caller(made.connection, token, NOW)
            assert caller is not None
            return set(caller.scopes)

        assert await scopes() == {"pay", "read", "batch"}
        await made.keep(SetLimits("an", None, None, False, True))
        assert await scopes() == {"read"}
        await made.keep(SetLimits("an", None, None, False, False))
        assert await scopes() == {"pay", "read", "batch"}


async def test_a_new_code_ends_those_before_it(new_database: NewDatabase) -> None:
    async with desk(new_database) as made:
        await made.admit("an")
        await made.admit("bob")

        async def invited(name: str, account_id: str | None) -> str:
            return await access_store.invite_person(
                made.connection, name, ["read"], NOW, account_id
            )

        async def opens(code: str) -> bool:
            spent = await access_store.spend_once(made.connection, code, NOW)
            return spent is not None

        # A member, another, and someone who runs this server.
        people = [("an", "an"), ("bob", "bob"), ("@treasurer", None)]
        lost = [await invited(*person) for person in people]
        fresh = [await invited(*person) for person in people[::2]]
        assert [await opens(code) for code in lost] == [False, True, False]
        assert [await opens(code) for code in fresh] == [True, True]
        assert [await opens(code) for code in fresh] == [False, False]
