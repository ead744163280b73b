"""What groups paid each other as ribbons across a circle, beside the same numbers.

Each group has an arc as long as all that it paid and was paid; each flow is a ribbon
from a place of its own on the payer's arc to one as wide on the payee's. Lengths stay
whole milliseconds of trade until a point is drawn, so nothing is lost by rounding.
The drawing itself is in the templates.
"""

import math
from collections.abc import Sequence

import msgspec

from clearing.api.transfers import FlowAnswer

#: Of the circle inside of the arcs, and outside of them; the middle is 0, 0.
INNER = 400
OUTER = 434
_LABEL_RADIUS = 466
#: Two numbers nearer to each other than this would touch, thousandths of the circle.
_LABEL_ROOM = 18
#: Of the point of a ribbon at the arc of who is paid: how long it is, and how wide to
#: each side at most, thousandths of the circle.
_POINT = 26
_POINT_WIDTH = 10
#: An arc of so little, on these circles, is off its chord by half a unit at most.
_NEAR = 24
#: Of the circle stays empty between arcs, percent, all of these together.
_GAPS_PERCENT_MAX = 25
_GAP_PERCENT = 2
#: Colours come round again after so many groups; numbers do not.
HUES = 8


class Span(msgspec.Struct, frozen=True):
    """A part of the circle, in milliseconds of trade from its top, clockwise."""

    begin: int
    end: int

    @property
    def length(self) -> int:
        """Say how much is between its ends."""
        return self.end - self.begin

    @property
    def middle(self) -> int:
        """Say where half of it is."""
        return (self.begin + self.end) // 2


class Point(msgspec.Struct, frozen=True):
    """A place in the drawing."""

    x: int
    y: int

    def is_near(self, other: "Point") -> bool:
        """Say whether an arc from here to there looks like a line."""
        return max(abs(self.x - other.x), abs(self.y - other.y)) <= _NEAR


class Arc(msgspec.Struct, frozen=True, kw_only=True):
    """A group's arc.

    Attributes:
        group: its name.
        number: beside the arc and in the table, from 1.
        hue: which colour, from 0.
        paid: by its members to other groups, milliseconds.
        received: by its members.
        span: its part of the circle, as long as both together.
        corners: outer begin and end, inner end and begin.
        is_large: more than half of the circle.
        label: where the number is written; ``None``: a longer arc's is in its place.
    """

    group: str
    number: int
    hue: int
    paid: int
    received: int
    span: Span
    corners: tuple[Point, Point, Point, Point]
    is_large: bool
    label: Point | None


class Ribbon(msgspec.Struct, frozen=True, kw_only=True):
    """A flow.

    Attributes:
        flow: whose members paid whose, and how much.
        hue: the payer's.
        source: its part of the payer's arc.
        target: its part of the payee's arc, as long.
        start: both ends at the payer's arc.
        foot: both ends at the payee's, a little before its arc.
        tip: the point between them that touches it, with where it begins and ends.
    """

    flow: FlowAnswer
    hue: int
    source: Span
    target: Span
    start: tuple[Point, Point]
    foot: tuple[Point, Point]
    tip: tuple[Point, Point, Point]


class Chord(msgspec.Struct, frozen=True, kw_only=True):
    """The whole picture.

    Attributes:
        turn: the whole circle, milliseconds of trade and what stays empty.
        arcs: by name of the group.
        ribbons: largest first, so that a small one is drawn over a large one.
        left_out: what is on the arcs and in no ribbon, milliseconds.
        inner: radius of the circle inside of the arcs.
        outer: radius of the circle outside of them.
        foot: radius of the circle on which points of ribbons begin.
    """

    turn: int
    arcs: list[Arc]
    ribbons: list[Ribbon]
    left_out: int
    inner: int = INNER
    outer: int = OUTER
    foot: int = INNER - _POINT


def chord(flows: Sequence[FlowAnswer], ribbons_max: int) -> Chord | None:
    """Place flows on a circle; ``None``: nothing was paid, so there is no circle.

    Args:
        flows: one for each payer and payee.
        ribbons_max: so many of the largest are drawn, since more cover each other;
            the arcs are as long as all of them.
    """
    largest_first = sorted(
        (one for one in flows if one.milliseconds > 0),
        key=lambda one: (-one.milliseconds, one.payer_group, one.payee_group),
    )
    if not largest_first:
        return None
    names = sorted(
        {name for one in flows for name in (one.payer_group, one.payee_group)}
    )
    paid, received = _sums(names, largest_first)
    trade = sum(paid.values()) * 2
    share = min(_GAP_PERCENT * len(names), _GAPS_PERCENT_MAX)
    gap = trade * share // ((100 - share) * len(names)) + 1
    turn = trade + gap * len(names)
    spans, begin = dict[str, Span](), gap // 2
    for name in names:
        spans[name] = Span(begin, begin + paid[name] + received[name])
        begin = spans[name].end + gap
    places = _places(names, spans, largest_first)
    hues = {name: place % HUES for place, name in enumerate(names)}
    labelled = _labelled(spans, turn)
    return Chord(
        turn=turn,
        arcs=[
            Arc(
                group=name,
                number=number,
                hue=hues[name],
                paid=paid[name],
                received=received[name],
                span=spans[name],
                corners=_corners(spans[name], turn),
                is_large=spans[name].length * 2 > turn,
                label=(
                    _point(spans[name].middle, turn, _LABEL_RADIUS)
                    if name in labelled
                    else None
                ),
            )
            for number, name in enumerate(names, start=1)
        ],
        ribbons=[
            _ribbon(one, hues[one.payer_group], places, turn)
            for one in largest_first[:ribbons_max]
        ],
        left_out=sum(one.milliseconds for one in largest_first[ribbons_max:]),
    )


def _sums(
    names: Sequence[str], flows: Sequence[FlowAnswer]
) -> tuple[dict[str, int], dict[str, int]]:
    """Say what each group paid and received."""
    paid, received = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for one in flows:
        paid[one.payer_group] += one.milliseconds
        received[one.payee_group] += one.milliseconds
    return paid, received


#: An end of a flow: payer, payee, and whether it is the payee's end.
_End = tuple[str, str, bool]


def _places(
    names: Sequence[str], spans: dict[str, Span], flows: Sequence[FlowAnswer]
) -> dict[_End, Span]:
    """Give each end of each flow its part of an arc, one behind the other.

    Along an arc, clockwise, come the neighbour before it, then those further away,
    and the neighbour behind it last; so ribbons of one arc do not cross. What goes out
    comes before what comes in, at both groups, so two ribbons of a pair do not either.
    """
    place = {name: number for number, name in enumerate(names)}
    ends: dict[str, list[tuple[int, bool, _End, int]]] = {name: [] for name in names}
    for one in flows:
        payer, payee = one.payer_group, one.payee_group
        away = (place[payer] - place[payee]) % len(names)
        back = (place[payee] - place[payer]) % len(names)
        ends[payer].append((away, False, (payer, payee, False), one.milliseconds))
        ends[payee].append((back, True, (payer, payee, True), one.milliseconds))
    found = {}
    for name in names:
        begin = spans[name].begin
        for _, _, end, length in sorted(ends[name]):
            found[end] = Span(begin, begin + length)
            begin += length
    return found


def _labelled(spans: dict[str, Span], turn: int) -> set[str]:
    """Say which groups have their number beside their arc: the longest first."""
    found = dict[str, int]()
    for name in sorted(spans, key=lambda one: (-spans[one].length, one)):
        middle = spans[name].middle
        aways = [abs(middle - other) for other in found.values()]
        if all(min(one, turn - one) * 1000 >= turn * _LABEL_ROOM for one in aways):
            found[name] = middle
    return set(found)


def _corners(span: Span, turn: int) -> tuple[Point, Point, Point, Point]:
    return (
        _point(span.begin, turn, OUTER),
        _point(span.end, turn, OUTER),
        _point(span.end, turn, INNER),
        _point(span.begin, turn, INNER),
    )


def _ribbon(flow: FlowAnswer, hue: int, places: dict[_End, Span], turn: int) -> Ribbon:
    source = places[flow.payer_group, flow.payee_group, False]
    target = places[flow.payer_group, flow.payee_group, True]
    foot = INNER - _POINT
    half = min(target.length // 2, turn * _POINT_WIDTH // 1000)
    return Ribbon(
        flow=flow,
        hue=hue,
        source=source,
        target=target,
        start=(
            _point(source.begin, turn, INNER),
            _point(source.end, turn, INNER),
        ),
        foot=(
            _point(target.begin, turn, foot),
            _point(target.end, turn, foot),
        ),
        tip=(
            _point(target.middle - half, turn, foot),
            _point(target.middle, turn, INNER),
            _point(target.middle + half, turn, foot),
        ),
    )


def _point(at: int, turn: int, radius: int) -> Point:
    """Say where on a circle something is; 0 is its top."""
    # Of two whole numbers, however large, a fraction of a turn is exact enough to see.
    angle = math.tau * (at / turn)
    return Point(round(radius * math.sin(angle)), round(-radius * math.cos(angle)))
