"""What docs/protocol.md shows is what the code does: every example, every list.

A fenced block's first line says what it holds, as ```` ```json item mirror ````; a
comment ``<!-- name -->`` stands above each table that is compared.
"""

import json  # noqa: TID251 - another reader than ours
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from nodes.rules.inquiries import Ends, open_answer, open_inquiry, write_answer
from protocol import (
    ask,
    checkpoint,
    directory,
    envelope,
    inquiry,
    joining,
    jws,
    key_change,
    link,
    messages,
    netting,
    sealing,
    strict_json,
    transfer,
    unit,
)
from protocol.address import RESERVE, Group, TransferId, transfer_id
from protocol.errors import AskRefusalCode, ItemRefusalCode, RefusalCode
from protocol.instant import read_instant
from protocol.peer import waiting_lines
from tests.peer.makers import directory_of
from tests.protocol.makers import (
    AT,
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    cover_payload,
    keyring,
    sealing_key,
    seed,
    signing_key,
)

DOC = pathlib.Path(__file__).parents[2] / "docs" / "protocol.md"
TEXT = DOC.read_text(encoding="utf-8")


def blocks() -> list[tuple[str, str]]:
    found = re.findall(r"^```(\w+ [^\n]+)\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL)
    return [(told.partition(" ")[2], body) for told, body in found]


def shown(what: str) -> list[str]:
    found = [body for told, body in blocks() if told.split()[0] == what]
    assert found, f"the page shows no {what}"
    return found


def table(name: str) -> list[list[str]]:
    """Rows of the table under ``<!-- name -->``, without its two heading lines."""
    _, _, rest = TEXT.partition(f"<!-- {name} -->\n")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    assert lines, f"the page has no table {name}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def codes(name: str) -> list[str]:
    return [row[0].strip("`") for row in table(name)]


ITEMS = [
    *((told.split()[1], body) for told, body in blocks() if told.startswith("item ")),
    *(
        (json.loads(line)["type"], line)
        for body in shown("items-of-envelope")
        for line in body.splitlines()
    ),
]
STRUCTS = {type(messages.read_item(line.encode())) for _, line in ITEMS}


@pytest.mark.parametrize(("type_", "line"), ITEMS)
def test_an_item_reads_and_writes_back_to_the_same_bytes(type_: str, line: str) -> None:
    item = messages.read_item(line.encode())
    assert isinstance(item, messages.Item)
    assert item.__struct_config__.tag == type_
    assert messages.write_line(item) == line.encode()


def test_every_type_and_kind_of_item_is_shown_and_listed() -> None:
    known = set(messages.AnyItem.__args__)
    assert known == STRUCTS
    tags = {str(struct.__struct_config__.tag) for struct in known}
    assert set(codes("item-types")) == tags
    kinds = {
        str(msgspec.structs.fields(struct)[2].default)
        for struct in known
        if issubclass(struct, messages.DecisionItem)
    }
    assert set(codes("decision-kinds")) == kinds


def fields_of(struct: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def test_the_tables_name_the_fields_in_their_order() -> None:
    listed = {
        row[0].strip("`"): re.findall(r"`(\w+)`", row[3].partition(";")[0])
        for row in table("item-types")
    }
    kinds = {
        row[0].strip("`"): re.findall(r"`(\w+)`", row[1])
        for row in table("decision-kinds")
    }
    for struct in messages.AnyItem.__args__:
        tag = str(struct.__struct_config__.tag)
        if tag == "decision":
            kind = str(msgspec.structs.fields(struct)[2].default)
            assert fields_of(struct) == ["log", "number", "kind", "at", *kinds[kind]]
        else:
            assert fields_of(struct) == listed[tag]


def test_the_lists_of_codes_are_the_codes_own() -> None:
    assert codes("refusal-codes") == list(RefusalCode)
    assert sorted(codes("item-refusal-codes")) == sorted(ItemRefusalCode)
    assert codes("ask-refusal-codes") == list(AskRefusalCode)


def moves() -> dict[tuple[str, str | None, str], str]:
    """Every filled cell of the table of states."""
    found: dict[tuple[str, str | None, str], str] = {}
    for role, state, *cells in table("transfer-table"):
        known = None if state == "*none*" else state.strip("`")
        for event, cell in zip(transfer.Event, cells, strict=True):
            if cell:
                found[role, known, event] = cell.strip("`")
    return found


def moved(
    role: transfer.Role, state: transfer.State | None, event: transfer.Event
) -> str | None:
    try:
        found = transfer.move(role, state, event)
    except AssertionError:
        return None
    return "call people" if isinstance(found, transfer.Contradiction) else found.value


def test_the_table_of_states_is_the_codes_own() -> None:
    listed = moves()
    for role in transfer.Role:
        for state in (None, *transfer.State):
            for event in transfer.Event:
                assert moved(role, state, event) == listed.get((role, state, event))


def test_the_limits_are_the_codes_own() -> None:
    listed = {row[0].strip("`"): int(row[1].split()[0]) for row in table("limits")[:8]}
    assert list(listed.values()) == [
        envelope.LINE_1_LENGTH_MAX,
        messages.PREPARE_LENGTH_MAX,
        messages.OFFER_LENGTH_MAX,
        messages.ITEM_LENGTH_MAX,
        messages.SEALED_LINE_LENGTH_MAX,
        envelope.BODY_LENGTH_MAX,
        envelope.ITEMS_MAX,
        messages.PATH_LENGTH_MAX,
    ]
    powers = [int(row[1].partition("^")[2]) for row in table("limits") if "^" in row[1]]
    amounts = [unit.AMOUNT_MAX, unit.MILLISECONDS_MAX, unit.RATE_MAX]
    assert [10**power for power in powers] == amounts
    limit_of = {row[0]: row[1] for row in table("limits")}
    assert limit_of["inquiries and answers behind a cover"] == str(inquiry.LINES_MAX)
    assert limit_of["inquiries of a node that are passed on"] == (
        f"{inquiry.PER_MINUTE_MAX} a minute"
    )
    assert limit_of["payees in an answer"] == str(inquiry.PAYEES_MAX)
    assert f"fewer than {waiting_lines.PER_PEER_MAX} lines" in TEXT
    assert limit_of["depth of JSON"] == str(strict_json.DEPTH_MAX)
    skew = "a cover's time, either side of the receiver's clock"
    assert limit_of[skew] == f"{link.SKEW_MAX_MS} ms"
    assert limit_of["an ask, as signed text"] == f"{ask.ASK_LENGTH_MAX} bytes"
    assert limit_of["an ask's memo"] == (
        f"{ask.ASK_MEMO_LENGTH_MAX} characters, {ask.ASK_MEMO_BYTES_MAX} bytes"
    )
    assert limit_of["how long an ask counts"] == f"{ask.ASK_DAYS_MAX} days"
    padded = ", ".join(map(str, sealing.PADDED_LENGTHS[:-1]))
    assert f"{padded} or {sealing.PADDED_LENGTHS[-1]} bytes" in TEXT


def test_the_quotes_add_up() -> None:
    for row in table("quotes"):
        payee_rate, payer_rate, payee_amount, milliseconds, payer_amount = map(int, row)
        found = unit.quote(unit.Amount(payee_amount), payer_rate, payee_rate)
        assert found == unit.Quote(
            unit.Amount(payee_amount),
            unit.Milliseconds(milliseconds),
            unit.Amount(payer_amount),
        )
    for per_hour, decimals, rate in ((60, 0, 60000), (20, 2, 1800), (7, 0, 514286)):
        assert directory.rate_of_hour(per_hour, decimals) == rate
        assert str(rate) in TEXT


def test_the_ids_are_those_that_the_code_makes() -> None:
    assert shown("federation-id") == [FEDERATION]
    told, body = next(block for block in blocks() if block[0].startswith("transfer-id"))
    _, payer, key = told.split()
    assert body == transfer_id(FEDERATION, payer, key)
    assert f"`{messages.NOTHING_HASH}`" in TEXT


@pytest.mark.parametrize(
    ("told", "text"), [block for block in blocks() if block[0].startswith("jws ")]
)
def test_signed_text_verifies(told: str, text: str) -> None:
    _, typ, signer = told.split()
    jws.check(jws.split(text, typ), signing_key(signer).public)


def test_the_payloads_are_those_of_the_signed_texts() -> None:
    signed = [
        jws.split(text, envelope.TYP).payload.decode() for text in shown("jws")[-2:]
    ]
    assert signed == [*shown("envelope"), *shown("cover")]


def test_the_whole_body_opens() -> None:
    _, line_1, cover = shown("jws")
    body = "\n".join([cover, line_1, *shown("items-of-envelope"), ""])
    opened = envelope.open_body(body.encode(), keyring(), FEDERATION, Group("hub"))
    assert opened.envelopes[0].payload.count == 3


def proof_of(line: str) -> messages.ItemProof:
    told = {name: found for name, found in json.loads(line).items() if name != "type"}
    return messages.ItemProof(**told)


def proofs() -> Iterator[tuple[messages.ItemProof, Group]]:
    yield proof_of(shown("proof")[0]), OOSTENDE
    for type_, line in ITEMS:
        if type_ in ("transfer.offer", "transfer.answer"):
            yield proof_of(line), OOSTENDE if type_ == "transfer.offer" else MECHELEN


def test_the_proofs_prove() -> None:
    for proof, signer in proofs():
        envelope.check_proof(proof, keyring(), FEDERATION, signer)


def one(type_: str) -> str:
    return next(
        body
        for told, body in blocks()
        if told == f"item {type_}" and messages.read_item(body.encode())
    )


def test_the_examples_tell_one_story() -> None:
    content, prepare = shown("content")[0], one("transfer.prepare")
    accept, decision = one("transfer.accept"), json.loads(one("decision"))
    prepare_hash = messages.line_hash(prepare.encode())
    assert json.loads(prepare)["content"] == messages.line_hash(content.encode())
    assert json.loads(one("transfer.offer"))["line"] == prepare
    assert json.loads(accept)["prepare"] == prepare_hash
    assert json.loads(one("transfer.answer"))["line"] == accept
    assert decision["prepare"] == prepare_hash
    assert decision["answer"] == messages.line_hash(accept.encode())


def test_the_box_opens_to_the_content() -> None:
    line = shown("content")[0].encode()
    read = strict_json.read(line, messages.content_decoder, "content")
    assert messages.write_line(read) == line
    sealed = strict_json.read(
        shown("sealed")[0].encode(), messages.sealed_line_decoder, "sealed line"
    )
    mechelen = sealing_key("mechelen")
    oostende = sealing_key("oostende")
    incoming = sealing.incoming(
        mechelen, oostende.public, FEDERATION, OOSTENDE, MECHELEN
    )
    about = "transfer.prepare " + json.loads(one("transfer.prepare"))["id"]
    assert incoming.open(sealed.box, about) == line
    outgoing = sealing.outgoing(
        oostende, mechelen.public, FEDERATION, OOSTENDE, MECHELEN
    )
    assert outgoing.seal(line, seed("nonce")[:24], about) == sealed.box


def test_the_inquiry_opens_to_what_it_asks() -> None:
    line, asked = (shown(what)[0].encode() for what in ("inquiry", "inquiry-content"))
    read = inquiry.read_line(line)
    assert isinstance(read, inquiry.SealedInquiry)
    assert messages.write_line(read) == line
    ends = Ends(sealing_key("mechelen"), FEDERATION, MECHELEN, directory_of())
    opened = open_inquiry(ends, read)
    assert opened is not None
    assert messages.write_line(opened) == asked
    answer = shown("answer-content")[0].encode()
    payees = strict_json.read(answer, inquiry.answer_decoder, "answer").payees
    written = write_answer(ends, read, payees, seed("nonce")[:24])
    ends = Ends(sealing_key("oostende"), FEDERATION, OOSTENDE, directory_of())
    assert open_answer(ends, opened, written) == payees
    behind = envelope.seal(cover_payload(), signing_key("oostende"))[0]
    raw = behind + b"\n" + line + b"\n"
    body = envelope.open_body(raw, keyring(), FEDERATION, Group("hub"))
    assert body.inquiries == (read,)


def test_the_info_is_the_six_texts_in_order() -> None:
    first, *others = shown("info")[0].splitlines()
    assert first == "interlets-box-1"
    assert len(others) == 5


def test_the_statements_of_joining_are_those_that_the_code_takes() -> None:
    signing = signing_key("oostende")
    recovery = signing_key("oostende recovery")
    entry = strict_json.read(
        shown("entry")[0].encode(), messages.entry_decoder, "entry"
    )
    found = joining.read_invitation(shown("invitation")[0])
    assert (found.group, found.federation) == (OOSTENDE, FEDERATION)
    request = joining.write_request(entry, found.code, signing, recovery)
    joining.read_request(request.encode(), FEDERATION)
    payload = jws.split(request, joining.JOIN_TYP).payload.decode()
    assert shown("join") == [payload]
    consent = json.loads(payload)["recovery"]
    assert shown("consent") == [
        jws.split(consent, joining.CONSENT_TYP).payload.decode()
    ]
    assert shown("check-digits") == [directory.check_digits(FEDERATION, entry)]
    statement = strict_json.read(
        shown("hub-statement")[0].encode(), messages.hub_statement_decoder, "statement"
    )
    signed = directory.sign_hub_statement(statement, signing_key("the root"))
    assert directory.read_hub_statement(signed, FEDERATION) == statement


def test_the_directory_decision_folds() -> None:
    line = next(
        body
        for type_, body in ITEMS
        if type_ == "decision" and json.loads(body)["kind"] == "directory"
    )
    decision = messages.read_item(line.encode())
    assert isinstance(decision, messages.DirectoryDecision)
    folded = directory.fold({}, decision, line.encode(), FEDERATION)
    assert folded[OOSTENDE].state == "active"


def test_the_statements_of_new_keys_vouch_for_the_decision_shown() -> None:
    before = msgspec.json.decode(shown("entry")[0], type=messages.GroupEntry)
    line = next(body for _, body in ITEMS if json.loads(body).get("kind") == "keys")
    decision = messages.read_item(line.encode())
    assert isinstance(decision, messages.KeysDecision)
    assert decision.statement is not None
    entry = directory.read_entry(decision.entry, FEDERATION)
    typ = key_change.KEY_CHANGE_TYP
    assert shown("key-change") == [jws.split(decision.statement, typ).payload.decode()]
    said = msgspec.json.decode(shown("recovery")[0], type=messages.Recovery)
    assert messages.write_line(said).decode() == shown("recovery")[0]
    signed = key_change.sign_recovery(said, signing_key("oostende recovery"))
    for statement in (decision.statement, signed):
        key_change.check_statement(statement, before, entry, 41)
    was = messages.read_item(
        next(body for _, body in ITEMS if '"directory"' in body).encode()
    )
    assert isinstance(was, messages.DirectoryDecision)
    known = directory.fold({}, was, b"", FEDERATION)
    folded = directory.fold(known, decision, line.encode(), FEDERATION)
    assert directory.trusted(folded, frozenset()) is folded


def test_the_hubs_later_statement_tells_whose_checkpoints_are_whose() -> None:
    (line,) = shown("later-hub-statement")
    stated = msgspec.json.decode(line, type=messages.HubStatement)
    assert messages.write_line(stated).decode() == line
    signed = directory.sign_hub_statement(stated, signing_key("the root"))
    directory.read_hub_statement(signed, FEDERATION)
    note = shown("checkpoint")[0] + "\n"
    checkpoint.read_checkpoint_of(note, FEDERATION, stated)
    assert f"at most {messages.HUB_KEY_SPANS_MAX:,} spans" in TEXT


def test_the_ask_opens_to_what_is_shown() -> None:
    (line,), (text,) = shown("ask"), shown("ask-link")
    found = ask.read_ask(text, FEDERATION, directory_of(), read_instant(AT))
    assert isinstance(found, ask.Ask)
    assert messages.write_line(found) == line.encode()
    named = re.findall(r"`(\w+)`", " ".join(row[0] for row in table("ask-fields")))
    assert named == fields_of(ask.Ask)


def test_the_checkpoint_is_the_hubs() -> None:
    note = shown("checkpoint")[0] + "\n"
    stated = checkpoint.read_checkpoint(note, FEDERATION, signing_key("hub").public)
    assert checkpoint.write_checkpoint(stated, signing_key("hub")) == note


def test_a_request_for_new_keys_reads_and_its_statement_counts() -> None:
    raw = shown("recovery-request")[0].encode()
    request = strict_json.read(raw, messages.recovery_request_decoder, "request")
    assert strict_json.write(request) == raw
    entry = directory.read_entry(request.entry, FEDERATION)
    before = directory_of()[OOSTENDE].entry
    key_change.check_statement(request.statement, before, entry, None)
    [line] = [line for type_, line in ITEMS if type_ == "key.change"]
    item = messages.read_item(line.encode())
    assert isinstance(item, messages.KeyChangeItem)
    assert item.entry == request.entry
    key_change.check_statement(item.statement, before, entry, 41)


def test_every_example_has_a_test() -> None:
    tried = {
        *("federation-id", "transfer-id", "jws", "envelope", "items-of-envelope"),
        *("cover", "proof", "item", "content", "info", "sealed", "entry"),
        *("hub-statement", "invitation", "join", "consent", "check-digits"),
        *("inquiry", "inquiry-content", "answer-content"),
        *("ask", "ask-link", "key-change", "recovery", "later-hub-statement"),
        *("netting-transfers", "netting-savings", "netting-closing"),
        *("netting-reserve", "netting-legs"),
        *("checkpoint", "recovery-request"),
    }
    assert {told.split()[0] for told, _ in blocks()} == tried
    assert TransferId(json.loads(one("transfer.cancel"))["id"])


def shown_netting(what: str) -> Any:
    return json.loads(shown(f"netting-{what}")[0])


def test_the_example_of_netting_is_what_the_code_computes() -> None:
    flows = netting.gather(tuple(one) for one in shown_netting("transfers"))
    savings = netting.compute_savings(flows)
    assert msgspec.to_builtins(savings) == shown_netting("savings")
    closing = netting.close_positions({RESERVE: 0}, flows.net())
    assert closing == shown_netting("closing")
    plan = netting.make_plan(closing, netting.default_targets(closing))
    assert msgspec.to_builtins(list(plan.legs)) == shown_netting("legs")
    reserve = shown_netting("reserve")
    closing = netting.close_positions(reserve["opening"], flows.net())
    assert closing == reserve["closing"]
    assert netting.default_targets(closing) == reserve["targets"]


def test_the_bounds_of_netting_are_the_codes_own() -> None:
    part = TEXT.partition("## 18. ")[2]
    for told in (
        f"up to {netting.GROUPS_MAX:,} groups and {netting.PAIRS_MAX:,} pairs",
        f"more than {netting.LOOKS_MAX:,} arcs",
        f"at most {netting.EXACT_MAX} groups are left",
        f"at most {netting.TRIPLES_MAX:,}: each debtor",
    ):
        assert told in part
    assert netting.POSITION_MAX == 2**53 - 1
