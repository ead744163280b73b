"""The directory as it was after so many decisions, for proofs that name its root.

Hub and nodes keep every directory decision in the same order, so both can show where
a group's entry stood when a checkpoint was signed (protocol, section 9).
"""

import asyncio

from protocol.address import FederationId, Group
from protocol.base64url import write_base64url
from protocol.checkpoint import directory_tree
from protocol.directory import Directory, fold
from protocol.merkle import Tree
from protocol.messages import DirectoryDecision, read_item
from protocol.peer import directory_store
from protocol.peer.database import AnyConnection
from protocol.peer.recent import Recent
from protocol.proof_file import LeafProof

#: Versions of the directory that are kept.
_FOLDED_KEPT = 32
#: Decisions that are folded before others have their turn.
_FOLDED_AT_ONCE = 25


class DirectoryAt:
    """A directory and its tree, built once for all that is proved by it."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self._tree: Tree = directory_tree(directory)
        self._places = {name: place for place, name in enumerate(sorted(directory))}

    def entry(self, name: str) -> LeafProof:
        """Give a group's entry with its place."""
        group = Group(name)
        place = self._places[group]
        return LeafProof(
            line=self.directory[group].line.decode(),
            index=place,
            size=len(self._places),
            path=[write_base64url(step) for step in self._tree.path(place)],
        )


class DirectoryHistory:
    """Folds directories, none of them twice from the beginning.

    Args:
        federation: the whole id.
    """

    def __init__(self, federation: FederationId) -> None:
        self._federation = federation
        self._folded: Recent[int, DirectoryAt] = Recent(_FOLDED_KEPT)

    async def at(self, connection: AnyConnection, version: int) -> DirectoryAt:
        """Fold the directory as it was after so many decisions.

        It goes on from the nearest version that is known, and lets others have
        their turn: each decision's signature takes some time.
        """
        known = self._folded.find(version)
        if known is not None:
            return known
        before = max((one for one in self._folded if one < version), default=0)
        nearest = self._folded.find(before)
        directory: Directory = {} if nearest is None else nearest.directory
        lines = await directory_store.read_lines(connection)
        for place, line in enumerate(lines[before:version], 1):
            decision = read_item(line)
            assert isinstance(decision, DirectoryDecision)
            directory = fold(directory, decision, line, self._federation)
            if place % _FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)
        folded = DirectoryAt(directory)
        self._folded.keep(version, folded)
        return folded
