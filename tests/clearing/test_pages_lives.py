"""The hub's pages as a group leaves and two admins agree, without scripts."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from protocol.peer import access_store
from tests.clearing.browsing import Desk, desk
from tests.nodes.browsing import Browser
from tests.peer.federation import NewDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")
GROUP = "/groups/oostende"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Desk]:
    async with desk(shared_database) as found:
        yield found


async def admin(shown: Desk, name: str) -> Browser:
    """Sign an admin in, by her link."""
    hub = shown.federated.hub
    async with hub.database.desk.acquire() as connection, connection.transaction():
        now = hub.clock.now()
        scopes = ("admin", "read")
        code = await access_store.invite_person(connection, name, scopes, now)
        await access_store.give_role(connection, name, "admin", now)
    browser = await shown.browser()
    page = await browser.send(await browser.get("/sign-in"), "/welcome", code=code)
    assert (page.status, page.place) == (200, "/"), page.text
    return browser


async def test_a_group_leaves_and_two_admins_agree_that_it_has_left(
    shown: Desk,
) -> None:
    ann, bob = await admin(shown, "@ann"), await admin(shown, "@bob")
    page = await ann.send(await ann.get(GROUP), f"{GROUP}/leaving")
    assert page.status == 200 and "(leaving)" in page.text
    assert "only moves between" in page.text
    stays = await ann.send(page, f"{GROUP}/stay")
    assert "Another admin must give it" in stays.text and "(leaving)" in stays.text
    assert "Let oostende stay after all" in (await bob.get("/consents")).text
    page = await ann.get(GROUP)
    wrong = await ann.send(page, f"{GROUP}/left", position="x")
    assert wrong.status == 400
    elsewhere = await ann.send(page, f"{GROUP}/left", position="-3600000")
    assert elsewhere.status == 409 and "stands at 0 h by now" in elsewhere.text
    asked = await ann.send(page, f"{GROUP}/left")
    assert "Another admin must give it" in asked.text and "(leaving)" in asked.text
    own = await ann.get("/consents")
    assert "@ann asked this" in own.text
    assert "/consents/2/give" not in own.text and "Take it back" in own.text
    other = await bob.get("/consents")
    assert "Say that oostende has left" in other.text
    done = await bob.send(other, "/consents/2/give")
    assert "Done, with the word of @bob" in done.text
    # What was asked first is about a group that has changed: no button for it.
    assert "The group has changed since" in done.text
    assert "/consents/1/" not in done.text
    assert "(has left)" in (await bob.get(GROUP)).text
    late = await bob.client.get("/consents")
    assert late.status == 200


async def test_wider_limits_wait_with_who_asked_and_why(shown: Desk) -> None:
    ann, bob = await admin(shown, "@ann"), await admin(shown, "@bob")
    there = "/groups/mechelen"
    few = {"floor": "10", "ceiling": "10", "reason": "to begin with"}
    page = await ann.send(await ann.get(there), f"{there}/limits", **few)
    assert "Another admin must give it" not in page.text
    fields = {"floor": "10", "ceiling": "21", "reason": "a <b>big</b> summer"}
    asked = await ann.send(page, f"{there}/limits", **fields)
    assert "Another admin must give it" in asked.text, asked.text
    number = (await shown.federated.hub.ask("SELECT max(number) FROM consent"))[0][0]
    other = await bob.get("/consents")
    assert "Limits of mechelen: from" in other.text
    assert "a &lt;b&gt;big&lt;/b&gt; summer" in other.raw
    await bob.send(other, f"/consents/{number}/give")
    page = await bob.get(there)
    assert "-10 h … 21 h" in page.text and "@ann · a <b>big</b> summer" in page.text


async def test_an_invitation_s_link_is_shown_to_whoever_agrees(shown: Desk) -> None:
    ann, bob = await admin(shown, "@ann"), await admin(shown, "@bob")
    fields = {"group": "gent", "floor": "5", "ceiling": "5"}
    asked = await ann.send(await ann.get("/invite"), "/invite", **fields)
    assert "Another admin must agree to inviting gent" in asked.text
    assert "is ready" not in asked.text
    number = (await shown.federated.hub.ask("SELECT max(number) FROM consent"))[0][0]
    other = await bob.get("/consents")
    assert "Invite gent, with limits from -5 h to 5 h" in other.text
    done = await bob.send(other, f"/consents/{number}/give")
    assert done.status == 200 and "The invitation for gent is ready" in done.text
    assert "The invitation for gent" not in (await bob.get("/consents")).text
    joining = await ann.get("/invite")
    assert "gent" in joining.text
