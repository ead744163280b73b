"""A receipt that is right until a test says otherwise: three groups, one transfer."""

from typing import Any

import msgspec

from protocol import directory as directories
from protocol import envelope, messages
from protocol.address import Group
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, directory_tree, write_checkpoint
from protocol.directory import Directory, public_keys
from protocol.merkle import Tree
from protocol.messages import HubStatement, line_hash, write_line
from protocol.receipt import LeafProof, Receipt, Witness, with_words
from tests.peer.makers import LOG, directory_decision, entry_of, proof_of
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
CONTENT = messages.Content(
    payer="marie",
    payee="bob",
    name="Marie",
    memo="two hours in the garden",
    payee_amount=3,
    payer_amount=1,
    salt="AAAAAAAAAAAAAAAAAAAAAA",
)


def statement() -> str:
    root = signing_key("the root")
    keys = public_keys(
        signing_key("hub").public, sealing_key("hub").public, root.public
    )
    stated = HubStatement(
        v=1, federation=FEDERATION, version=1, name="lets-belgium", keys=keys
    )
    return directories.sign_hub_statement(stated, root)


def leaf_proof(tree: Tree, lines: list[bytes], index: int) -> LeafProof:
    return LeafProof(
        line=lines[index].decode(),
        index=index,
        size=len(lines),
        path=[write_base64url(step) for step in tree.path(index)],
    )


class Evidence:
    """All that hub and groups signed about one transfer, to be changed by tests."""

    def __init__(self, **changes: Any) -> None:
        self.content = write_line(CONTENT)
        asked = {"content": line_hash(self.content), "checkpoint": None} | changes
        self.prepare = write_line(prepare(**asked))
        self.accept = write_line(
            messages.TransferAccept(id=ID, prepare=line_hash(self.prepare))
        )
        self.directory: Directory = {}
        self.leaves = [
            write_line(messages.LogDecision(log=LOG, number=0, at=AT, former=None))
        ]
        for group in (OOSTENDE, MECHELEN, BRUSSEL):
            self.add_group(entry_of(group))
        self.leaves.append(self.decision())

    def add_group(self, entry: messages.GroupEntry) -> None:
        decision = directory_decision(entry, number=len(self.leaves))
        line = write_line(decision)
        self.directory = directories.fold(self.directory, decision, line, FEDERATION)
        self.leaves.append(line)

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
            "directory": write_base64url(directory_tree(self.directory).root),
        }
        return SignedCheckpoint(**(fields | changes))

    def entry(self, group: Group) -> LeafProof:
        lines = [self.directory[name].line for name in sorted(self.directory)]
        return leaf_proof(Tree(lines), lines, sorted(self.directory).index(group))

    def witness(self) -> Witness:
        cover = cover_payload(from_=BRUSSEL, checkpoint=self.checkpoint().short)
        line_1, _ = envelope.seal(cover, signing_key(BRUSSEL))
        return Witness(entry=self.entry(BRUSSEL), cover=line_1.decode())

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


def changed(receipt: Receipt, **changes: Any) -> Receipt:
    return msgspec.structs.replace(receipt, **changes)
