"""``interlets-node``: the command line of a group's node."""

import argparse
import sys

from nodes import app
from nodes.commands import (
    cycles,
    exports,
    group,
    moving,
    node,
    own_keys,
    staff,
    treasurer,
)
from nodes.commands import trust as trusting
from nodes.commands import unit as units
from nodes.imports import reading
from nodes.imports.limits_csv import NO_LIMIT
from protocol.peer import backup_commands, key_commands
from protocol.peer.command_line import add_verb, run


def parser() -> argparse.ArgumentParser:
    """Describe every verb."""
    top = argparse.ArgumentParser(prog="interlets-node", description=__doc__)
    verbs = top.add_subparsers(required=True, metavar="VERB")
    add_verb(
        verbs,
        "init",
        node.init,
        "make the tables, and a one-time link for the first treasurer",
        "interlets-node init --config node.toml",
    )
    _add_join(verbs)
    add_verb(
        verbs,
        "serve",
        node.serve,
        "serve the node until told to stop",
        "interlets-node serve --config node.toml",
    )
    _add_import(verbs)
    _add_member(verbs)
    _add_entry(verbs)
    _add_unit(verbs)
    add_verb(
        verbs,
        "audit",
        node.audit,
        "recompute the ledger and verify what is stored; exit code 1 when it is wrong",
        "interlets-node audit --config node.toml",
    )
    add_verb(
        verbs,
        "sign-in",
        node.sign_in,
        "make a new one-time link for the treasurer",
        "interlets-node sign-in --config node.toml",
    )
    _add_trust(verbs)
    _add_cycle(verbs)
    backup_commands.add_verbs(verbs, "interlets-node", node.subject)
    about_keys = key_commands.add_verbs(
        verbs, "interlets-node", node.read_public, app.keys_folder
    )
    own_keys.add_verbs(about_keys)
    _add_group(verbs)
    _add_person(verbs)
    return top


def _add_join(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    join = add_verb(
        verbs,
        "join",
        node.join,
        "join a federation by the hub's invitation",
        "interlets-node join invitation.txt --name 'LETS Oostende' --unit garnaal "
        "--plural garnalen --per-hour 20 --config node.toml",
    )
    join.add_argument(
        "invitation", help="a file with the hub's link, or - for standard input"
    )
    join.add_argument("--name", required=True, help="the group's name for people")
    join.add_argument("--unit", required=True, help="what one unit is called")
    join.add_argument("--plural", help="what several are called")
    join.add_argument("--symbol", help="short form beside numbers")
    join.add_argument(
        "--decimals", type=int, default=0, help="decimals of the unit, 0 to 2 (0)"
    )
    join.add_argument(
        "--per-hour", type=int, required=True, help="units that an hour is worth"
    )


def _add_import(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    moved = add_verb(
        verbs,
        "import",
        moving.import_group,
        "bring a group in from eLAS or eLAND: says what would be done, does it only "
        "with --confirm",
        "interlets-node import oostende-db-csv.zip --config node.toml",
    )
    moved.add_argument("file", help="eLAND's zip, or eLAS's CSV file of members")
    moved.add_argument("--transactions", help="eLAS's CSV file of transactions")
    moved.add_argument("--balances", help="for eLAS: a CSV file letscode,saldo")
    moved.add_argument(
        "--encoding",
        choices=reading.ENCODINGS,
        default=reading.ENCODINGS[0],
        help="of eLAS's files (%(default)s)",
    )
    for option, told in (
        ("--without-history", "bring in balances only, not every transaction"),
        ("--without-balances", "let every account begin at 0"),
        ("--difference-to-fund", "put what balances do not come to on the fund"),
        ("--keep-beyond-limits", "let balances stand beyond limits as they do"),
        ("--confirm", "do it, while the node does not serve"),
    ):
        moved.add_argument(option, action="store_true", help=told)
    moved.add_argument(
        "--sign-ins", help="with --confirm: a new file for members' one-time links"
    )


def _add_member(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    member = verbs.add_parser("member", help="members of the group")
    kinds = member.add_subparsers(required=True, metavar="VERB")
    imported = add_verb(
        kinds,
        "import",
        node.import_members,
        "add the members of a CSV file (account,name,password,floor,ceiling)",
        "interlets-node member import members.csv --config node.toml",
    )
    imported.add_argument("file", help="the CSV file, or - for standard input")
    add_verb(
        kinds,
        "list",
        node.list_members,
        "list members with their balances",
        "interlets-node member list --config node.toml",
    )
    sign_ins = add_verb(
        kinds,
        "sign-ins",
        moving.write_sign_ins,
        "write a new one-time link for each member who has never signed in",
        "interlets-node member sign-ins sign-ins.csv --config node.toml",
    )
    sign_ins.add_argument("file", help="a new file; only you may read it")
    _add_admission(kinds)
    _add_changes(kinds)


def _add_admission(
    kinds: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    added = add_verb(
        kinds,
        "add",
        treasurer.add_member,
        "admit a member at the running node; prints her one-time sign-in link",
        "interlets-node member add an --name 'An Peeters' --floor=-100 --ceiling=400 "
        "--config node.toml",
    )
    added.add_argument("account", help="her account, hers for ever")
    added.add_argument("--name", required=True, help="her name for people")
    added.add_argument("--key", help=_KEY_HELP)
    for limit in ("--floor", "--ceiling"):
        added.add_argument(limit, required=True, help=_LIMIT_HELP)


#: Verbs about one member that need nothing but her account.
_ABOUT_ONE = (
    ("show", treasurer.show_member, "show a member with balance and limits"),
    (
        "freeze",
        treasurer.freeze_member,
        "let a member take part in nothing new",
    ),
    (
        "release",
        treasurer.release_member,
        "let a frozen member take part again",
    ),
    ("close", treasurer.close_member, "close an account"),
    ("open", treasurer.open_member, "open an account that was closed"),
    (
        "sign-in",
        treasurer.sign_in_member,
        "make a new one-time link for a member",
    ),
    (
        "end-sign-ins",
        treasurer.sign_out_member,
        "sign a member out everywhere, her password and link too: her telephone"
        " was stolen",
    ),
    (
        "changes",
        treasurer.list_changes,
        "tell what was decided about a member",
    ),
)
#: Those of them that change something: they take a reason.
_CHANGES = ("freeze", "release", "close", "open")
_KEY_HELP = "a name of your own for this wish: given again, it is done only once"
_REASON_HELP = "why; kept beside the change"
_LIMIT_HELP = f"whole minor units, or {NO_LIMIT!r}"


def _add_changes(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, carry_out, told in _ABOUT_ONE:
        example = f"interlets-node member {name} an --config node.toml"
        one = add_verb(kinds, name, carry_out, told, example)
        one.add_argument("account")
        if name in _CHANGES:
            one.add_argument("--reason", help=_REASON_HELP)
        if name == "close":
            one.add_argument(
                "--balance-to-fund",
                action="store_true",
                help="leave what stands on it to the group's fund; needs --reason",
            )
    limited = add_verb(
        kinds,
        "limits",
        treasurer.limit_member,
        "give a member other limits; what is not said stays",
        "interlets-node member limits an --floor=-200 --config node.toml",
    )
    limited.add_argument("account")
    limited.add_argument("--reason", help=_REASON_HELP)
    for limit in ("--floor", "--ceiling"):
        limited.add_argument(limit, help=_LIMIT_HELP)
    renamed = add_verb(
        kinds,
        "rename",
        treasurer.rename_member,
        "give a member another display name",
        "interlets-node member rename an --name 'An Peeters' --config node.toml",
    )
    renamed.add_argument("account")
    renamed.add_argument("--reason", help=_REASON_HELP)
    renamed.add_argument("--name", required=True, help="her name for people")
    many = add_verb(
        kinds,
        "limits-file",
        treasurer.limit_members,
        "set the limits that a CSV file says (account,floor,ceiling), all or none",
        "interlets-node member limits-file limits.csv --reason 'meeting of May' "
        "--preview --config node.toml",
    )
    many.add_argument("file", help="the CSV file, or - for standard input")
    many.add_argument("--reason", required=True, help=_REASON_HELP)
    many.add_argument("--preview", action="store_true", help="change nothing")


def _add_entry(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    entry = verbs.add_parser("entry", help="entries of the ledger")
    kinds = entry.add_subparsers(required=True, metavar="VERB")
    listed = add_verb(
        kinds,
        "list",
        treasurer.list_entries,
        "list the newest entries with their postings",
        "interlets-node entry list --text market --config node.toml",
    )
    listed.add_argument("--text", help="stands in an account, name, memo or reason")
    listed.add_argument(
        "--most", type=int, default=20, help="most entries to list, 1 to 200 (20)"
    )
    booked = add_verb(
        kinds,
        "book",
        treasurer.book_entry,
        "book by hand what a CSV file says (account,amount), zero in sum",
        "interlets-node entry book market.csv --reason 'market of June' "
        "--key market-june --config node.toml",
    )
    booked.add_argument("file", help="the CSV file, or - for standard input")
    corrected = add_verb(
        kinds,
        "correct",
        treasurer.correct_entry,
        "take an entry back by its exact negation, once",
        "interlets-node entry correct 6f1e... --reason 'wrong member' "
        "--config node.toml",
    )
    corrected.add_argument("entry", help="the entry's id")
    booked.add_argument(
        "--key",
        required=True,
        help="a name of your own for this wish: given again, nothing is booked twice",
    )
    for one in (booked, corrected, _add_mass(kinds)):
        one.add_argument("--reason", required=True, help="for all whom it concerns")


def _add_mass(
    kinds: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    mass = add_verb(
        kinds,
        "mass",
        treasurer.book_mass_entry,
        "book one entry for many members, all of it or nothing; the fund gets the sum",
        "interlets-node entry mass --each=-10 --reason 'contribution of 2026' "
        "--key contribution-2026 --preview --config node.toml",
    )
    what = mass.add_mutually_exclusive_group(required=True)
    what.add_argument("--each", help="what moves on each account; below zero: she pays")
    what.add_argument("--file", help="or a CSV file of amounts: account,amount")
    mass.add_argument("--only", help="a CSV file of accounts, instead of all active")
    mass.add_argument("--key", help=_KEY_HELP)
    mass.add_argument("--preview", action="store_true", help="book nothing")
    return mass


def _add_unit(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    unit = verbs.add_parser("unit", help="what the group counts in, and its rate")
    kinds = unit.add_subparsers(required=True, metavar="VERB")
    add_verb(
        kinds,
        "show",
        units.show,
        "show unit and rate, and what was asked of the hub",
        "interlets-node unit show --config node.toml",
    )
    add_verb(
        kinds,
        "history",
        units.list_units,
        "list every unit and rate that the group has had, and from when on",
        "interlets-node unit history --config node.toml",
    )
    change = add_verb(
        kinds,
        "change",
        units.change,
        "ask the hub for another rate or other words; the regional admin decides",
        "interlets-node unit change --per-hour 30 --config node.toml",
    )
    change.add_argument("--per-hour", type=int, help="units that an hour is worth")
    change.add_argument("--name", help="the group's name for people")
    change.add_argument("--unit", help="what one unit is called")
    change.add_argument("--plural", help="what several are called")
    change.add_argument("--symbol", help="short form beside numbers")


def _add_cycle(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    cycle = verbs.add_parser("cycle", help="cycles and what settles them")
    kinds = cycle.add_subparsers(required=True, metavar="VERB")
    for name, carry_out, told in (
        ("list", cycles.list_cycles, "list cycles and what we have said to them"),
        ("legs", cycles.list_legs, "list what is to be made good, by us or to us"),
        ("shares", cycles.shares, "list what we bear together with other groups"),
    ):
        example = f"interlets-node cycle {name} --config node.toml"
        listed = add_verb(kinds, name, carry_out, told, example)
        listed.add_argument(
            "--most", type=int, default=20, help="most to list, 1 to 200 (20)"
        )
    show = add_verb(
        kinds,
        "show",
        cycles.show,
        "show a cycle, and the first move that differs, if one does",
        "interlets-node cycle show 1 --config node.toml",
    )
    show.add_argument("cycle", type=int, help="its number")
    statement = add_verb(
        kinds,
        "statement",
        cycles.statement,
        "write a cycle by our own ledger to a file: CSV, or a bank statement",
        "interlets-node cycle statement 1 --format camt053 --to cycle-1.xml "
        "--config node.toml",
    )
    statement.add_argument("cycle", type=int, help="its number")
    statement.add_argument(
        "--format",
        choices=tuple(cycles.STATEMENT_FORMATS),
        default="csv",
        help="csv (the default), or camt053: ISO 20022, for bookkeeping programs",
    )
    statement.add_argument("--to", required=True, help="a file that is not there yet")
    proof = add_verb(
        kinds,
        "proof",
        cycles.proof,
        "get the hub's cycle file, and say whether it proves the cycle",
        "interlets-node cycle proof 1 --to cycle-1.json --config node.toml",
    )
    proof.add_argument("cycle", type=int, help="its number")
    proof.add_argument("--to", help="write the file: one that is not there yet")
    check = add_verb(
        kinds,
        "check",
        cycles.check,
        "look at our own ledger again, after something was mended",
        "interlets-node cycle check 1 --reason 'the disk was repaired' "
        "--config node.toml",
    )
    check.add_argument("cycle", type=int, help="its number")
    check.add_argument("--reason", required=True, help="kept for ever")
    for name, carry_out, told in (
        ("paid", cycles.paid, "sign that our group has paid a leg"),
        ("received", cycles.received, "sign that our group has received a leg"),
    ):
        example = (
            f"interlets-node cycle {name} 2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10 "
            "--reason 'by bank on Monday' --config node.toml"
        )
        signed = add_verb(kinds, name, carry_out, told, example)
        signed.add_argument("leg", help="its id, as legs tells it")
        signed.add_argument("--reason", required=True, help="kept for ever")


def _add_trust(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, carry_out, told in (
        ("alarms", trusting.list_alarms, "list what people must look at"),
        ("doubts", trusting.list_doubts, "list statements that contradict"),
    ):
        example = f"interlets-node {name} --config node.toml"
        listed = add_verb(verbs, name, carry_out, told, example)
        listed.add_argument(
            "--most", type=int, default=20, help="most to list, 1 to 200 (20)"
        )
    trust = add_verb(
        verbs,
        "trust",
        trusting.trust,
        "say that people have looked, and take offers again",
        "interlets-node trust hub --reason 'called Ann: it was a restored backup' "
        "--config node.toml",
    )
    trust.add_argument("about", help="hub, or a group's name")
    trust.add_argument("--reason", required=True, help="kept for ever beside the doubt")
    keys = add_verb(
        verbs,
        "accept-keys",
        trusting.accept_keys,
        "say that a group's new keys were compared by telephone, and trade again",
        "interlets-node accept-keys mechelen --digits '1234 5678 9012' "
        "--reason 'Ann read them out; their server burnt' --config node.toml",
    )
    keys.add_argument("group", help="whose keys")
    keys.add_argument("--digits", required=True, help="as its treasurer read them out")
    keys.add_argument("--reason", required=True, help="kept for ever")


def _add_group(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add_verb(
        verbs,
        "position",
        group.show_position,
        "show the group's position, by its own ledger and by the hub's decisions",
        "interlets-node position --config node.toml",
    )
    add_verb(
        verbs,
        "leaving",
        group.show_leaving,
        "show how the group stands in the federation, and its wish to leave it",
        "interlets-node leaving --config node.toml",
    )
    leave = add_verb(
        verbs,
        "leave",
        group.leave,
        "tell the hub that the group wishes to leave; its position then runs off",
        "interlets-node leave --reason 'decided by our meeting' --config node.toml",
    )
    leave.add_argument("--reason", required=True, help="kept for ever")
    warn = add_verb(
        verbs,
        "warn",
        group.warn,
        "set from which share of a limit of the group's on you are warned; or show it",
        "interlets-node warn --percent 75 --config node.toml",
    )
    warn.add_argument("--percent", type=int, help="1 to 100, of the room to a limit")
    undecided = add_verb(
        verbs,
        "undecided",
        group.list_undecided,
        "list payments that wait for the hub's decision, and since when",
        "interlets-node undecided --config node.toml",
    )
    acts = add_verb(
        verbs,
        "acts",
        staff.list_acts,
        "tell who of the staff did what, when, about whom and why",
        "interlets-node acts --about an --config node.toml",
    )
    acts.add_argument("--about", help="an account, an entry, or a person like @ann")
    acts.add_argument("--author", help="only what this person did, like @ann")
    for listed in (undecided, acts):
        listed.add_argument(
            "--most", type=int, default=20, help="most to list, 1 to 200 (20)"
        )
    exported = add_verb(
        verbs,
        "export",
        exports.export,
        "write everything of one kind as CSV, whether the node serves or not",
        "interlets-node export entries --to entries.csv --config node.toml",
    )
    exported.add_argument("name", choices=exports.EXPORTS, help="what")
    exported.add_argument("--to", help="a file; else standard output")


def _add_person(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    person = verbs.add_parser("person", help="who runs the group")
    kinds = person.add_subparsers(required=True, metavar="VERB")
    add_verb(
        kinds,
        "list",
        staff.list_people,
        "list who runs the group, and what lets them in",
        "interlets-node person list --config node.toml",
    )
    invited = add_verb(
        kinds,
        "invite",
        staff.invite,
        "let somebody run the group too, by a one-time link; again: a new link",
        "interlets-node person invite @ann --role reader --config node.toml",
    )
    invited.add_argument(
        "--role",
        required=True,
        choices=("treasurer", "reader"),
        help="a reader sees everything and changes nothing",
    )
    removed = add_verb(
        kinds,
        "remove",
        staff.remove,
        "let somebody run the group no more; never the last treasurer",
        "interlets-node person remove @ann --config node.toml",
    )
    ended = add_verb(
        kinds,
        "end-sign-ins",
        staff.end_sign_ins,
        "let what lets somebody in count no more, her unused link too",
        "interlets-node person end-sign-ins @ann --config node.toml",
    )
    ended.add_argument("--one", metavar="ID", help="only this one of them")
    for one in (invited, removed, ended):
        one.add_argument("person", help="her name, beginning with @")


def main() -> int:
    """Run the command line; gives the exit code."""
    return run(parser())


if __name__ == "__main__":
    sys.exit(main())
