"""Inquiries and answers as a node writes and reads them; pure.

Unsigned, yet nobody else can make one: both groups' sealing keys go into the key of
each box, and the box is bound to its id.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from protocol import inquiry, sealing
from protocol.address import FederationId, Group, read_display_name
from protocol.directory import Directory, GroupRecord
from protocol.errors import MalformedMessageError, NotSignedError, PeerError
from protocol.inquiry import (
    NAME_LENGTH_MIN,
    Inquiry,
    InquiryAnswer,
    Payee,
    SealedAnswer,
    SealedInquiry,
)
from protocol.messages import write_line
from protocol.strict_json import read as read_strictly

#: As ``payee_store`` leaves them out.
_ACCENTS = re.compile("[\u0300-\u036f]")
#: Every answer is as long as the longest: the hub cannot see whether anybody was
#: found, nor how many.
_ANSWER_LENGTH = sealing.PADDED_LENGTHS[-1]


class Ends(NamedTuple):
    """Us, and what we know of the others.

    Attributes:
        key: our sealing key.
        federation: the federation's whole id.
        own: our name.
        directory: everyone's sealing keys.
        opens: by id, the keys that open what others seal for us, also former ones.
    """

    key: sealing.SealingKey
    federation: FederationId
    own: Group
    directory: Directory
    opens: Mapping[str, sealing.SealingKey] = {}

    def record(self, group: str) -> GroupRecord:
        """Give another group's record; raises ``NotSignedError``: there is none."""
        found = self.directory.get(Group(group))
        if found is None or group == self.own:
            raise NotSignedError(f"inquiry: no other group is called {group}")
        return found

    def outgoing(self, to: str) -> sealing.Channel:
        """Give the channel on which we seal for a group."""
        theirs = self.record(to).key("sealing")
        return sealing.outgoing(self.key, theirs, self.federation, self.own, Group(to))

    def open(self, line: SealedInquiry | SealedAnswer) -> bytes:
        """Open the box of a line that is for us; raises ``PeerError``."""
        if line.to != self.own:
            raise NotSignedError(f"inquiry: meant for {line.to}")
        # Either side may have changed keys since it was sealed.
        their_kid, own_kid = sealing.box_kids(line.box)
        theirs = self.record(line.from_).sealing_key(their_kid)
        own = self.opens.get(own_kid, self.key)
        channel = sealing.incoming(
            own, theirs, self.federation, Group(line.from_), self.own
        )
        return channel.open(line.box, line.about)


def write_inquiry(
    ends: Ends, to: Group, inquiry_id: str, asked: Inquiry, nonce: bytes
) -> SealedInquiry:
    """Seal a question to another group."""
    line = SealedInquiry(inquiry=inquiry_id, from_=ends.own, to=to, box="-")
    box = ends.outgoing(to).seal(write_line(asked), nonce, line.about)
    return SealedInquiry(inquiry=inquiry_id, from_=ends.own, to=to, box=box)


def open_inquiry(ends: Ends, line: SealedInquiry) -> Inquiry | None:
    """Open a question; ``None`` when it is none, or not for us."""
    try:
        asked = inquiry.read_inquiry(ends.open(line))
        if asked.name is not None:
            read_part_of_name(asked.name)
    except PeerError:
        return None
    return asked


def write_answer(
    ends: Ends, asked: SealedInquiry, payees: list[Payee], nonce: bytes
) -> SealedAnswer:
    """Seal the answer to a question that we could open."""
    to, answer_id = asked.from_, asked.inquiry
    line = SealedAnswer(answer=answer_id, from_=ends.own, to=to, box="-")
    content = write_line(InquiryAnswer(payees=payees))
    box = ends.outgoing(to).seal(content, nonce, line.about, _ANSWER_LENGTH)
    return SealedAnswer(answer=answer_id, from_=ends.own, to=to, box=box)


def open_answer(ends: Ends, asked: Inquiry, line: SealedAnswer) -> list[Payee] | None:
    """Open an answer to our question; ``None`` when it is none that people may see."""
    try:
        content = ends.open(line)
        answer = read_strictly(content, inquiry.answer_decoder, "answer")
        for payee in answer.payees:
            read_display_name(payee.name)
    except PeerError:
        return None
    accounts = [payee.account for payee in answer.payees]
    if asked.account is not None and accounts not in ([], [asked.account]):
        return None
    return answer.payees


def read_part_of_name(text: str) -> str:
    """Read what a member types to find somebody by name.

    Raises:
        MalformedMessageError: too short or too long, or not plain text.
    """
    composed = unicodedata.normalize("NFC", text.strip())
    # Accents do not count when names are compared: alone they would match anybody.
    letters = _ACCENTS.sub("", unicodedata.normalize("NFD", composed))
    if len(letters) < NAME_LENGTH_MIN:
        raise MalformedMessageError("name", text, "at least 2 characters")
    return read_display_name(composed)
