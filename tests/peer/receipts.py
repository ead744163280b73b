"""A receipt that is right until a test says otherwise: three groups, one transfer."""

from typing import Any

import msgspec

from protocol import directory as directories
from protocol import envelope, messages
from protocol.address import Group
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, write_checkpoint
from protocol.directory import Directory, public_keys
from protocol.merkle import Tree
from protocol.messages import HubKeySpan, HubStatement, line_hash, write_line
from protocol.proof_file import LeafProof
from protocol.receipt import Receipt, Witness, with_words
from protocol.refusal import Refusal, with_refusal_words, write_refusal
from tests.peer.makers import (
    LOG,
    OTHER_ID,
    directory_decision,
    entry_of,
    keys_decision,
    next_keys,
    proof_of,
)
from tests.protocol.makers import (
    AT,
    FEDERATION,
    ID,
    MECHELEN,
    OOSTENDE,
    cover_payload,
    prepare,
    sealing_key,
    signing_key,
)

BRUSSEL = Group("brussel")
#: Whose keys Oostende has after a change.
ANEW = "oostende anew"
CONTENT = messages.Content(
    payer="marie",
    payee="bob",
    name="Marie",
    memo="two hours in the garden",
    payee_amount=3,
    payer_amount=1,
    salt="AAAAAAAAAAAAAAAAAAAAAA",
)


def hub_statement() -> HubStatement:
    keys = public_keys(
        signing_key("hub").public,
        sealing_key("hub").public,
        signing_key("the root").public,
    )
    return HubStatement(
        v=1, federation=FEDERATION, version=1, name="lets-belgium", keys=keys
    )


def later_statement(*former: HubKeySpan, **changes: Any) -> str:
    """The hub has had another key since: whose checkpoints are whose."""
    keys = public_keys(
        signing_key("hub anew").public,
        sealing_key("hub").public,
        signing_key("the root").public,
    )
    fields: dict[str, Any] = {"version": 2, "keys": keys, "former": list(former)}
    stated = msgspec.structs.replace(hub_statement(), **(fields | changes))
    return directories.sign_hub_statement(stated, signing_key("the root"))


def hub_span(last: int, **changes: Any) -> HubKeySpan:
    """The hub's first key signed this log's checkpoints up to a size."""
    key = write_base64url(signing_key("hub").public)
    fields: dict[str, Any] = {"key": key, "log": LOG, "first": 0, "last": last}
    return HubKeySpan(**(fields | changes))


def statement() -> str:
    return directories.sign_hub_statement(hub_statement(), signing_key("the root"))


def leaf_proof(tree: Tree, lines: list[bytes], index: int) -> LeafProof:
    return LeafProof(
        line=lines[index].decode(),
        index=index,
        size=len(lines),
        path=[write_base64url(step) for step in tree.path(index)],
    )


class Evidence:
    """All that hub and groups signed about one transfer, to be changed by tests."""

    def __init__(
        self,
        *,
        content: dict[str, Any] | None = None,
        oostende: messages.GroupEntry | None = None,
        **changes: Any,
    ) -> None:
        self.content = write_line(msgspec.structs.replace(CONTENT, **(content or {})))
        asked = {"content": line_hash(self.content), "checkpoint": None} | changes
        self.prepare = write_line(prepare(**asked))
        self.accept = write_line(
            messages.TransferAccept(id=ID, prepare=line_hash(self.prepare))
        )
        self.directory: Directory = {}
        self.names: list[Group] = []
        self.leaves = [
            write_line(messages.LogDecision(log=LOG, number=0, at=AT, former=None))
        ]
        for entry in (oostende or entry_of(OOSTENDE), entry_of(MECHELEN)):
            self.add_group(entry)
        self.add_group(entry_of(BRUSSEL))
        self.leaves.append(self.decision())

    def add_group(self, entry: messages.GroupEntry, **changes: Any) -> None:
        decision = directory_decision(entry, number=len(self.leaves), **changes)
        line = write_line(decision)
        self.directory = directories.fold(self.directory, decision, line, FEDERATION)
        self.leaves.append(line)
        self.names = sorted(self.directory)

    def change_keys(self, last: int, **changes: Any) -> None:
        """Oostende has had another signing key since its item ``last``.

        It is not folded: what cannot be is for the verifiers to find.
        """
        entry, signers = next_keys(OOSTENDE, ANEW), (OOSTENDE, ANEW)
        fields = {"number": len(self.leaves)} | changes
        line = write_line(keys_decision(entry, signers, [last], **fields))
        record = msgspec.structs.replace(self.directory[OOSTENDE], line=line)
        self.directory = {**self.directory, OOSTENDE: record}
        self.leaves += [line, self.decision(number=len(self.leaves) + 1)]

    def decision(self, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "log": LOG,
            "number": len(self.leaves),
            "at": AT,
            "id": ID,
            "prepare": line_hash(self.prepare),
            "answer": line_hash(self.accept),
            "outcome": "cleared",
            "code": None,
        }
        return write_line(messages.TransferDecision(**(fields | changes)))

    def checkpoint(self, **changes: Any) -> SignedCheckpoint:
        fields: dict[str, Any] = {
            "federation": FEDERATION,
            "log": LOG,
            "size": len(self.leaves),
            "root": write_base64url(Tree(self.leaves).root),
            "version": len(self.directory),
            "groups": len(self.directory),
            "directory": write_base64url(Tree(self.directory_lines()).root),
        }
        return SignedCheckpoint(**(fields | changes))

    def directory_lines(self) -> list[bytes]:
        return [self.directory[name].line for name in self.names]

    def entry(self, group: Group) -> LeafProof:
        lines = self.directory_lines()
        return leaf_proof(Tree(lines), lines, self.names.index(group))

    def witness(
        self, group: Group = BRUSSEL, *, key_of: str | None = None, **changes: Any
    ) -> Witness:
        named = {"from_": group, "checkpoint": self.checkpoint().short}
        cover = cover_payload(**(named | changes))
        line_1, _ = envelope.seal(cover, signing_key(key_of or group))
        return Witness(entry=self.entry(group), cover=line_1.decode())

    def bare(self, **changes: Any) -> Receipt:
        fields: dict[str, Any] = {
            "told": [],
            "federation": FEDERATION,
            "statement": statement(),
            "checkpoint": write_checkpoint(self.checkpoint(), signing_key("hub")),
            "decision": leaf_proof(
                Tree(self.leaves), self.leaves, len(self.leaves) - 1
            ),
            "prepare": proof_of(self.prepare, OOSTENDE),
            "accept": proof_of(self.accept, MECHELEN),
            "payer": self.entry(OOSTENDE),
            "payee": self.entry(MECHELEN),
            "witnesses": [self.witness()],
            "content": self.content.decode(),
        }
        return Receipt(**(fields | changes))

    def receipt(self, **changes: Any) -> Receipt:
        return with_words(self.bare(**changes))


def refusal(made: Evidence, *, behind: int = 0, **changes: Any) -> bytes:
    """What proves that the hub refused what it also cleared.

    ``behind`` decisions more are in the log by then.
    """
    return write_refusal(
        with_refusal_words(bare_refusal(made, behind=behind, **changes))
    )


def bare_refusal(made: Evidence, *, behind: int = 0, **changes: Any) -> Refusal:
    """The same without its words, whatever the hub decided."""
    fields: dict[str, Any] = {"outcome": "refused", "code": "cancelled", "answer": None}
    place = len(made.leaves)
    made.leaves.append(made.decision(**(fields | changes)))
    for _ in range(behind):
        made.leaves.append(made.decision(id=OTHER_ID))
    return Refusal(
        told=[],
        federation=FEDERATION,
        statement=statement(),
        checkpoint=write_checkpoint(made.checkpoint(), signing_key("hub")),
        decision=leaf_proof(Tree(made.leaves), made.leaves, place),
    )


def changed(receipt: Receipt, **changes: Any) -> Receipt:
    return msgspec.structs.replace(receipt, **changes)
