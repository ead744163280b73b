"""What docs/verify.md shows is one receipt; every number in it is the code's own."""

import base64
import json  # noqa: TID251 - another reader than ours
import pathlib
import re

from protocol import receipt as receipts
from protocol.checkpoint import NOTE_LENGTH_MAX
from protocol.cycle_file import CYCLE_LENGTH_MAX
from protocol.envelope import LINE_1_LENGTH_MAX
from protocol.messages import ITEM_LENGTH_MAX, PATH_LENGTH_MAX, PREPARE_LENGTH_MAX
from protocol.refusal import REFUSAL_LENGTH_MAX
from protocol.tiles import Tile, write_path
from tests import second_verifier
from tests.peer.receipts import Evidence, refusal

ROOT = pathlib.Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
FILE: str = json.loads(
    (ROOT / "tests" / "vectors" / "receipts.json").read_text(encoding="utf-8")
)["genuine"]["with content and a witness"]
RECEIPT = json.loads(FILE)
REFUSAL = json.loads(refusal(Evidence()))
CYCLE = json.loads(
    json.loads((ROOT / "tests" / "vectors" / "cycles.json").read_text("utf-8"))[
        "genuine"
    ]["two groups agree"]
)


def blocks() -> dict[str, str]:
    found = re.findall(r"^```\w+ ([^\n]+)\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL)
    return dict(found)


def payload(signed: str) -> str:
    middle = signed.split(".")[1]
    return base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)).decode()


def written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_all_examples_are_parts_of_one_genuine_receipt() -> None:
    line = RECEIPT["payer"]["line"]
    assert blocks() == {
        "federation-id": RECEIPT["federation"],
        "statement": payload(RECEIPT["statement"]),
        "checkpoint": RECEIPT["checkpoint"].removesuffix("\n"),
        "decision": written(RECEIPT["decision"]),
        "directory-line": line,
        "entry": payload(json.loads(line)["entry"]),
        "item-proof": written(RECEIPT["accept"]),
        "envelope": payload(RECEIPT["accept"]["envelope"]),
        "prepare": RECEIPT["prepare"]["line"],
        "accept": RECEIPT["accept"]["line"],
        "cover": payload(RECEIPT["witnesses"][0]["cover"]),
        "content": RECEIPT["content"],
        "told": "\n".join(RECEIPT["told"]),
        "tile-paths": blocks()["tile-paths"],
        "refusal": "\n".join(REFUSAL["told"]),
        "cycle-decision": CYCLE["decision"]["line"],
        "cycle-statement": CYCLE["groups"][1]["statement"],
        "cycle-agree": CYCLE["groups"][1]["answer"]["line"],
        "cycle": "\n".join(CYCLE["told"]),
    }
    assert second_verifier.verify(FILE.encode(), RECEIPT["federation"])


def test_the_paths_of_tiles_are_those_that_the_hub_takes() -> None:
    for row in blocks()["tile-paths"].splitlines():
        *numbers, path = row.split()
        assert write_path(Tile(*map(int, numbers))) == path


def test_the_table_names_the_members_in_their_order() -> None:
    rows = re.findall(r"^\| (`.*?) \|", TEXT.partition("### The file")[2], re.MULTILINE)
    names = re.findall(r"`(\w+)`", "".join(rows[: len(RECEIPT)]))
    assert names[: len(RECEIPT)] == list(RECEIPT)


def test_the_table_names_a_refusals_members_in_their_order() -> None:
    part = TEXT.partition("\n## 10. ")[2].partition("```")[0]
    cells = re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(cells)) == list(REFUSAL)


def test_the_table_names_a_cycle_files_members_in_their_order() -> None:
    part = TEXT.partition("\n## 11. ")[2].partition("### Step")[0]
    cells = re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(cells)) == list(CYCLE)
    inner = re.findall(r"a list of ((?:`\w+`(?:, )?)+)", part)
    named = [re.findall(r"`(\w+)`", one) for one in inner]
    assert named == [[*CYCLE[name][0]] for name in ("groups", "targets", "legs")]


def test_the_limits_are_the_codes_own() -> None:
    for limit, told in (
        (receipts.RECEIPT_LENGTH_MAX // 1024**2, "At most {} MiB"),
        (NOTE_LENGTH_MAX, "at most {:,} characters"),
        (ITEM_LENGTH_MAX, "at most {:,} bytes"),
        (PREPARE_LENGTH_MAX, "Each line has at most {:,} bytes"),
        (LINE_1_LENGTH_MAX, "`interlets-envelope`, at most {:,} bytes"),
        (PATH_LENGTH_MAX, "`path` of at most {} hashes, `envelope`"),
        (receipts.WITNESSES_MAX, "at most {} of `entry`"),
        (REFUSAL_LENGTH_MAX // 1024, "is one file, at most {} KiB"),
        (CYCLE_LENGTH_MAX // 1024**2, "at most {} MiB, media type"),
    ):
        assert told.format(limit) in TEXT
