"""Asking the hub for a new entry of the group: what a treasurer wishes, signed.

The keys are at hand here, so the signing is here; what may be asked is decided in
``nodes.rules``.
"""

from nodes.house import NodeHouse
from nodes.rules import NotProposed, Proposal, Propose, Wish, next_entry
from protocol.directory import GroupRecord, read_entry, sign_entry
from protocol.peer.clerk import Clerk
from protocol.peer.web.problems import Problem


class Proposals:
    """What the group has asked the hub for.

    Args:
        house: knows the directory and the keys.
        clerk: keeps and sends.
    """

    def __init__(self, house: NodeHouse, clerk: Clerk) -> None:
        self._house = house
        self._clerk = clerk

    def own_record(self) -> GroupRecord:
        """Give our own entry; raises ``OutageError`` until this server is open."""
        self._clerk.check_ready()
        return self._house.own_record()

    def newest(self) -> Proposal | None:
        """Give the newest proposal, waiting or answered."""
        self._clerk.check_ready()
        return self._house.proposal

    async def ask(self, wish: Wish, author: str | None = None) -> Proposal | None:
        """Ask the hub for what a treasurer wishes, in place of what waits.

        ``None``: all is so already. ``author`` is the person who asks.

        Raises:
            MalformedMessageError: the wish can never be granted; says why.
            Problem: 409: the entry has changed meanwhile, or has become too long.
        """
        entry = next_entry(self.own_record(), wish)
        if entry is None:
            return None
        signed = sign_entry(entry, self._house.own_key)
        # What others would refuse to read, we must not have signed and sent.
        read_entry(signed, self._house.federation)
        outcome = await self._clerk.take(
            Propose(entry=entry, signed=signed, author=author)
        )
        if isinstance(outcome, NotProposed):
            code = outcome.code
            raise Problem(409, "not-proposed", f"Refused: {code}.", code=code)
        assert isinstance(outcome, Proposal)
        return outcome
