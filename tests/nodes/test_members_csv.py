"""A file of members: read whole or not at all, and its passwords never repeated."""

import pytest

from nodes.imports.members_csv import MemberLine, read_members
from nodes.rules import NewMember
from protocol.peer.command_line import DataError

HEADER = "account,name,password,floor,ceiling"
PASSWORD = "correct horse battery"
MARIE = f"marie,Marie,{PASSWORD},-100,200"


def file_of(*lines: str) -> str:
    return "\n".join([HEADER, *lines])


def refusal(text: str) -> str:
    """What is said of a wrong file; that no password is in it is checked here."""
    with pytest.raises(DataError) as refused:
        read_members(text, "members.csv")
    told = str(refused.value)
    assert PASSWORD not in told
    return told


def test_a_line_gives_a_member_and_her_password() -> None:
    assert read_members(file_of(MARIE), "members.csv") == [
        MemberLine(
            NewMember(account_id="marie", name="Marie", floor=-100, ceiling=200),
            PASSWORD,
        )
    ]


def test_an_empty_limit_is_no_limit() -> None:
    (line,) = read_members(file_of(f"marie,Marie,{PASSWORD},,"), "members.csv")
    assert (line.member.floor, line.member.ceiling) == (None, None)


def test_a_new_account_stands_at_zero_so_both_limits_may_be_zero() -> None:
    (line,) = read_members(file_of(f"marie,Marie,{PASSWORD},0,0"), "members.csv")
    assert (line.member.floor, line.member.ceiling) == (0, 0)


def test_names_may_hold_commas_and_quotes() -> None:
    text = file_of(f'marie,"Marie ""Miet"", Jans",{PASSWORD},,')
    (line,) = read_members(text, "members.csv")
    assert line.member.name == 'Marie "Miet", Jans'


def test_lines_may_end_as_windows_ends_them() -> None:
    text = file_of(MARIE, f"bob,Bob,{PASSWORD},,").replace("\n", "\r\n")
    assert [line.member.account_id for line in read_members(text, "m")] == [
        "marie",
        "bob",
    ]


def test_a_file_may_have_no_members() -> None:
    assert read_members(HEADER, "members.csv") == []


@pytest.mark.parametrize(
    ("wrong", "found", "expected"),
    [
        (f"marie,Marie,{PASSWORD},-100", "found 4 columns", "expected 5"),
        (f"marie,Marie,Jans,{PASSWORD},-100,1", "found 6 columns", "expected 5"),
        (f"Marie,Marie,{PASSWORD},,", "account: cannot read 'Marie'", "a-z"),
        (f",Marie,{PASSWORD},,", "account: cannot read ''", "a-z"),
        (f"marie,,{PASSWORD},,", "name: cannot read ''", "1 to 80"),
        (f"marie,{'M' * 81},{PASSWORD},,", "name: cannot read", "1 to 80"),
        (f"marie,Ma\u202erie,{PASSWORD},,", "name: cannot read", "visible"),
        ("marie,Marie,ninechars,,", "a password of 9 characters", "10 to 200"),
        (f"marie,Marie,{'p' * 201},,", "a password of 201 characters", "10 to 200"),
        (f"marie,Marie,{PASSWORD},-1.5,", "floor: cannot read '-1.5'", "whole"),
        (f"marie,Marie,{PASSWORD},--1,", "floor: cannot read '--1'", "whole"),
        (f"marie,Marie,{PASSWORD},-,", "floor: cannot read '-'", "whole"),
        (f"marie,Marie,{PASSWORD},,1e3", "ceiling: cannot read '1e3'", "whole"),
        (f"marie,Marie,{PASSWORD},,٣", "ceiling: cannot read '٣'", "whole"),
        (f"marie,Marie,{PASSWORD},,{10**12 + 1}", "cannot read", "10^12"),
        (f"marie,Marie,{PASSWORD},1,", "limits 1 and None", "0 or lower"),
        (f"marie,Marie,{PASSWORD},,-1", "limits None and -1", "0 or higher"),
        (f"clearing,Marie,{PASSWORD},,", "'clearing'", "the node's own"),
        (f"conversion.1,Marie,{PASSWORD},,", "'conversion.1'", "the node's own"),
        (f'marie,"Marie,{PASSWORD},,', "", ""),
    ],
)
def test_a_wrong_line_is_named_with_what_stood_there_and_what_should(
    wrong: str, found: str, expected: str
) -> None:
    told = refusal(file_of(f"bob,Bob,{PASSWORD},,", wrong))
    assert told.startswith("members.csv, line 3: ")
    assert found in told
    assert expected in told


@pytest.mark.parametrize(
    ("password", "is_taken"),
    [("p" * 9, False), ("p" * 10, True), ("p" * 200, True), ("p" * 201, False)],
)
def test_a_password_has_ten_to_two_hundred_characters(
    password: str, is_taken: bool
) -> None:
    text = file_of(f"marie,Marie,{password},,")
    if is_taken:
        assert len(read_members(text, "m")) == 1
    else:
        assert password not in refusal(text)


def test_a_limit_may_be_ten_to_the_twelfth() -> None:
    text = file_of(f"marie,Marie,{PASSWORD},-{10**12},{10**12}")
    (line,) = read_members(text, "m")
    assert (line.member.floor, line.member.ceiling) == (-(10**12), 10**12)


def test_an_account_is_there_once() -> None:
    told = refusal(file_of(MARIE, f"bob,Bob,{PASSWORD},,", MARIE))
    assert told == "members.csv, line 4: marie is there twice"


@pytest.mark.parametrize(
    "first",
    [
        "",
        MARIE,
        f"{PASSWORD},marie,Marie,,",
        "account;name;password;floor;ceiling",
        "Account,Name,Password,Floor,Ceiling",
    ],
    ids=["empty", "no header", "password first", "semicolons", "capitals"],
)
def test_the_first_line_names_the_columns(first: str) -> None:
    told = refusal(f"{first}\n{MARIE}")
    assert told.startswith("members.csv, line 1: found ")
    assert HEADER in told


def test_a_file_that_is_wrong_at_its_end_gives_nobody() -> None:
    told = refusal(file_of(*(f"m{n},M,{PASSWORD},," for n in range(50)), "x"))
    assert "line 52" in told
