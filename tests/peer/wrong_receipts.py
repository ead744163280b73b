"""Receipts that are not genuine, each by one lie that somebody could tell."""

from collections.abc import Sequence
from typing import Any

import msgspec

from protocol import directory as directories
from protocol import messages
from protocol.address import FederationId, Group
from protocol.base64url import read_base64url, write_base64url
from protocol.checkpoint import write_checkpoint
from protocol.keyring import key_id
from protocol.merkle import Tree
from protocol.messages import line_hash, write_line
from protocol.receipt import Receipt
from tests.peer.makers import LOG, OTHER_ID, directory_decision, entry_of, proof_of
from tests.peer.receipts import (
    ANEW,
    BRUSSEL,
    CONTENT,
    Evidence,
    changed,
    hub_span,
    hub_statement,
    later_statement,
    leaf_proof,
    statement,
)
from tests.protocol.makers import (
    AT,
    FEDERATION,
    ID,
    MECHELEN,
    OOSTENDE,
    hash_of,
    signing_key,
)

#: RFC 8032, section 7.1, the first: its private half stands there.
_EXAMPLE = write_base64url(
    bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
)
#: The same root key under another name.
OTHERS = FederationId("others" + FEDERATION[FEDERATION.index("#") :])

WRONG: dict[str, Any] = {
    "words that say more": lambda e: changed(e.receipt(), told=["Pay me again."]),
    "a refused decision": lambda e: _with_decision(e, outcome="refused"),
    "a decision for another prepare": lambda e: _with_decision(
        e, prepare=hash_of("another")
    ),
    "a decision on another answer": lambda e: _with_decision(
        e, answer=hash_of("another")
    ),
    "a decision of another log": lambda e: _with_decision(e, log="AAAAAAAAAAA"),
    "a decision under another number": lambda e: _with_decision(e, number=1),
    "a checkpoint signed by a group": lambda e: e.bare(
        checkpoint=write_checkpoint(e.checkpoint(), signing_key(OOSTENDE))
    ),
    "a checkpoint of another root": lambda e: e.bare(
        checkpoint=write_checkpoint(
            e.checkpoint(root=hash_of("another")), signing_key("hub")
        )
    ),
    "a checkpoint of another size": lambda e: e.bare(
        checkpoint=write_checkpoint(e.checkpoint(size=99), signing_key("hub"))
    ),
    "a directory of another root": lambda e: e.bare(
        checkpoint=write_checkpoint(
            e.checkpoint(directory=hash_of("another")), signing_key("hub")
        )
    ),
    "a prepare that the payee's group signed": lambda e: e.bare(
        prepare=proof_of(e.prepare, MECHELEN)
    ),
    "an accept that the payer's group signed": lambda e: e.bare(
        accept=proof_of(e.accept, OOSTENDE)
    ),
    "the accept as the prepare": lambda e: e.bare(prepare=proof_of(e.accept, OOSTENDE)),
    "the groups the other way round": lambda e: e.bare(
        payer=e.entry(MECHELEN), payee=e.entry(OOSTENDE)
    ),
    "other content": lambda e: e.bare(
        content=write_line(
            msgspec.structs.replace(CONTENT, memo="for something else")
        ).decode()
    ),
    "a key that the root never signed": lambda e: e.bare(
        statement=statement().rpartition(".")[0] + "." + "A" * 86
    ),
    "a witness of another checkpoint": lambda e: e.bare(
        witnesses=[
            msgspec.structs.replace(
                e.witness(), cover=Evidence(milliseconds=1).witness().cover
            )
        ]
    ),
    # Places.
    "a path one step short": lambda e: _leaf(e, "decision", cut=1),
    "a path one step long": lambda e: _leaf(e, "decision", more=[hash_of("more")]),
    "a path of nothing": lambda e: _leaf(e, "decision", cut=9),
    "another place in the log": lambda e: _leaf(e, "decision", index=3),
    "another size of the log": lambda e: _leaf(e, "decision", size=6),
    "the last of three as the last of two": lambda e: _leaf(
        e, "payer", index=1, size=2
    ),
    "a directory of more groups": lambda e: _leaf(e, "payee", size=4),
    "an entry that is no longer the group's": lambda e: e.bare(
        payer=Evidence(oostende=entry_of(OOSTENDE, 1)).entry(OOSTENDE)
    ),
    "an entry from the log": lambda e: e.bare(
        payer=leaf_proof(Tree(e.leaves), e.leaves, 1)
    ),
    # Decisions.
    "a cleared decision with a code": lambda e: _with_decision(e, code="cancelled"),
    "a decision without an answer": lambda e: _with_decision(e, answer=None),
    "a decision about another id": lambda e: _with_decision(e, id=OTHER_ID),
    "a decision about a group": lambda e: _with_last_leaf(
        write_line(directory_decision(entry_of(OOSTENDE), number=4))
    ),
    "a decision that opens a log": lambda e: _with_last_leaf(
        write_line(messages.LogDecision(log=LOG, number=4, at=AT, former=None))
    ),
    "a prepare as the decision": lambda e: _with_last_leaf(e.prepare),
    "a decision with a member twice": lambda e: _with_last_leaf(
        e.decision(number=4, outcome="refused").replace(b"}", b',"outcome":"cleared"}')
    ),
    # Groups' words.
    "an accept of another id": lambda e: _with_accept(id=OTHER_ID),
    "an accept of another prepare": lambda e: _with_accept(prepare=hash_of("another")),
    "a refuse": lambda e: _with_answer(
        write_line(
            messages.TransferRefuse(
                id=ID, prepare=line_hash(e.prepare), code="payee-cannot-receive"
            )
        )
    ),
    "a prepare told to another than the hub": lambda e: e.bare(
        prepare=proof_of(e.prepare, OOSTENDE, to=MECHELEN)
    ),
    "a prepare in another federation": lambda e: e.bare(
        prepare=proof_of(e.prepare, OOSTENDE, federation=OTHERS)
    ),
    "a prepare signed for the payer's group": lambda e: e.bare(
        prepare=proof_of(e.prepare, OOSTENDE, key_of=MECHELEN)
    ),
    "a prepare with a line end in it": lambda e: _with_prepare(e.prepare + b"\n"),
    "a group that pays itself": lambda e: _to_itself(),
    "a key that was not in force yet": lambda e: _with_span(3, None),
    "a key that was no longer in force": lambda e: _with_span(1, 1),
    "a key that was never in force": lambda e: _with_span(1, None, "another"),
    "a key that was revoked before": lambda e: _with_new_keys(1),
    "a key of later items": lambda e: _with_new_keys(2, signer=ANEW),
    "a former key that is not told": lambda e: _with_new_keys(2, former=[]),
    "another former key than its span's": lambda e: _with_new_keys(
        2, former=[write_base64url(signing_key("a stranger").public)]
    ),
    "a former key that everybody has": lambda e: _with_new_keys(
        2, former=[_EXAMPLE], keys=_spans(key_id(read_base64url(_EXAMPLE, "key")))
    ),
    "two keys for one item": lambda e: _with_new_keys(2, keys=_spans(first=2)),
    "an item without a key": lambda e: _with_new_keys(2, keys=_spans(first=4)),
    "the same key anew": lambda e: _with_new_keys(
        2, keys=_spans(), former=[write_base64url(signing_key(ANEW).public)]
    ),
    "two groups that share a key": lambda e: _with_shared_key(),
    # Witnesses.
    "one witness twice": lambda e: e.bare(witnesses=[e.witness()] * 2),
    "the payer's group as its own witness": lambda e: e.bare(
        witnesses=[e.witness(OOSTENDE)]
    ),
    "a witness who was shown less": lambda e: e.bare(
        witnesses=[e.witness(checkpoint=messages.Checkpoint(LOG, 4, hash_of("4")))]
    ),
    "a witness who names no checkpoint": lambda e: e.bare(
        witnesses=[e.witness(checkpoint=None)]
    ),
    "a witness whose cover another signed": lambda e: e.bare(
        witnesses=[e.witness(key_of=OOSTENDE)]
    ),
    "a witness with another's cover": lambda e: e.bare(
        witnesses=[
            msgspec.structs.replace(e.witness(), cover=e.witness(OOSTENDE).cover)
        ]
    ),
    "a witness's envelope": lambda e: e.bare(
        witnesses=[
            msgspec.structs.replace(
                e.witness(), cover=proof_of(b"{}", BRUSSEL).envelope
            )
        ]
    ),
    "a witness's cover with items": lambda e: e.bare(
        witnesses=[e.witness(root=hash_of("items"))]
    ),
    "a directory that is not in name order": lambda e: _in_order(
        [OOSTENDE, MECHELEN, BRUSSEL]
    ),
    # Content.
    "content with another salt": lambda e: e.bare(
        content=e.content.replace(b'"salt":"A', b'"salt":"B').decode()
    ),
    "content whose amounts were never agreed": lambda e: _with_content(
        {"payee_amount": 4}
    ),
    "content with an invisible name": lambda e: _with_content({"name": "\u3164"}),
    "content with a joined name": lambda e: _with_content({"name": "Ma\u200drie"}),
    "content with a turned name": lambda e: _with_content({"name": "Marie\u202eeiraM"}),
    "content with an escape in the memo": lambda e: _with_content(
        {"memo": "\x1b]0;ours\x07"}
    ),
    "content at a rate that there never was": lambda e: Evidence(payee_rate=2).bare(),
    # The hub's keys.
    "a note with one line more": lambda e: e.bare(
        checkpoint=_note(e).replace("\n\n", "\nanother line\n\n")
    ),
    "a note with two signatures": lambda e: e.bare(
        checkpoint=_note(e) + _note(e).partition("\n\n")[2]
    ),
    "a note of another federation": lambda e: e.bare(
        checkpoint=write_checkpoint(e.checkpoint(federation=OTHERS), signing_key("hub"))
    ),
    "a statement with two signing keys": lambda e: e.bare(
        statement=_statement(
            [
                *hub_statement().keys[:1],
                *hub_statement().keys[:1],
                hub_statement().keys[2],
            ]
        )
    ),
    "a checkpoint by a key that was revoked before": lambda e: e.bare(
        statement=later_statement(hub_span(4))
    ),
    "a checkpoint of a log that the former key never signed": lambda e: e.bare(
        statement=later_statement(hub_span(9, log="AAAAAAAAAAA"))
    ),
    "a checkpoint by a key before its time": lambda e: e.bare(
        statement=later_statement(hub_span(5)),
        checkpoint=write_checkpoint(e.checkpoint(), signing_key("hub anew")),
    ),
    "two former keys for one checkpoint": lambda e: e.bare(
        statement=later_statement(hub_span(5), hub_span(9, first=5))
    ),
    "a former key of the hub's that everybody has": lambda e: e.bare(
        statement=later_statement(hub_span(5), hub_span(9, first=6, key=_EXAMPLE))
    ),
    "a first statement with former keys": lambda e: e.bare(
        statement=later_statement(hub_span(5), version=1)
    ),
    "a later statement without former keys": lambda e: e.bare(
        statement=later_statement(former=msgspec.UNSET)
    ),
    "a statement by another root key": lambda e: e.bare(
        statement=directories.sign_hub_statement(hub_statement(), signing_key("hub"))
    ),
    "a statement for another federation": lambda e: e.bare(
        statement=directories.sign_hub_statement(
            msgspec.structs.replace(hub_statement(), federation=OTHERS),
            signing_key("the root"),
        )
    ),
    # Words.
    "words in other letters": lambda e: _words(e, "Marie", "M\u0430rie"),
    "words with a space more": lambda e: _words(e, "cleared.", "cleared. "),
    "words about somebody else": lambda e: _words(e, "bob@", "eve@"),
    "words left out": lambda e: changed(e.receipt(), told=e.receipt().told[:-1]),
    "words for a receipt with content": lambda e: changed(e.receipt(), content=None),
}


def _leaf(
    evidence: Evidence,
    member: str,
    cut: int = 0,
    more: Sequence[str] = (),
    **changes: Any,
) -> Receipt:
    receipt = evidence.bare()
    proof = getattr(receipt, member)
    path = [*proof.path[: len(proof.path) - cut], *more] if cut < 9 else []
    return changed(
        receipt, **{member: msgspec.structs.replace(proof, path=path, **changes)}
    )


def _with_content(changes: dict[str, Any]) -> Receipt:
    return Evidence(content=changes).bare()


def _with_decision(evidence: Evidence, **changes: Any) -> Receipt:
    made = Evidence()
    made.leaves = evidence.leaves[:-1]
    made.leaves = [*made.leaves, made.decision(**changes)]
    return made.bare()


def _with_last_leaf(line: bytes) -> Receipt:
    made = Evidence()
    made.leaves[-1] = line
    return made.bare()


def _with_answer(line: bytes) -> Receipt:
    made = Evidence()
    made.accept = line
    made.leaves[-1] = made.decision(number=4)
    return made.bare()


def _with_prepare(line: bytes) -> Receipt:
    made = Evidence()
    made.prepare = line
    return _with_words(made, messages.TransferAccept(id=ID, prepare=line_hash(line)))


def _with_words(made: Evidence, accept: messages.TransferAccept) -> Receipt:
    made.accept = write_line(accept)
    made.leaves[-1] = made.decision(number=4)
    return made.bare()


def _with_accept(**changes: Any) -> Receipt:
    made = Evidence()
    fields = {"id": ID, "prepare": line_hash(made.prepare)} | changes
    return _with_answer(write_line(messages.TransferAccept(**fields)))


def _to_itself() -> Receipt:
    made = Evidence(payee_group=OOSTENDE)
    return made.bare(
        accept=proof_of(made.accept, OOSTENDE), payee=made.entry(OOSTENDE), content=None
    )


def _with_span(first: int, last: int | None, whose: str = OOSTENDE) -> Receipt:
    made = Evidence()
    span = messages.KeySpan(signing_key(whose).kid, first, last)
    made.add_group(entry_of(OOSTENDE), keys=[span])
    made.leaves.append(made.decision())
    return made.bare()


def _with_new_keys(last: int, *, signer: str = OOSTENDE, **changes: Any) -> Receipt:
    """Oostende has other keys from the item behind ``last`` on; the prepare is 2."""
    made = Evidence()
    made.change_keys(last, **changes)
    return made.bare(prepare=proof_of(made.prepare, OOSTENDE, key_of=signer))


def _with_shared_key() -> Receipt:
    """Oostende says that Mechelen's key was once its own."""
    made = Evidence()
    key = signing_key(MECHELEN)
    made.change_keys(
        1, former=[write_base64url(key.public)], keys=_spans(key.kid, last=1, first=2)
    )
    return made.bare(prepare=proof_of(made.prepare, OOSTENDE, key_of=ANEW))


def _spans(kid: str = "", last: int = 2, first: int = 3) -> list[messages.KeySpan]:
    return [
        messages.KeySpan(kid or signing_key(OOSTENDE).kid, 1, last),
        messages.KeySpan(signing_key(ANEW).kid, first, None),
    ]


def _in_order(names: list[Group]) -> Receipt:
    made = Evidence()
    made.names = names
    return made.bare()


def _note(evidence: Evidence) -> str:
    return write_checkpoint(evidence.checkpoint(), signing_key("hub"))


def _statement(keys: list[messages.EntryKey]) -> str:
    stated = msgspec.structs.replace(hub_statement(), keys=keys)
    return directories.sign_hub_statement(stated, signing_key("the root"))


def _words(evidence: Evidence, before: str, after: str) -> Receipt:
    receipt = evidence.receipt()
    told = [line.replace(before, after) for line in receipt.told]
    assert told != receipt.told
    return changed(receipt, told=told)
