"""``interlets-node``: the command line of a group's node."""

import argparse
import sys

from nodes import commands
from protocol.peer.command_line import add_verb, run


def parser() -> argparse.ArgumentParser:
    """Describe every verb."""
    top = argparse.ArgumentParser(prog="interlets-node", description=__doc__)
    verbs = top.add_subparsers(required=True, metavar="VERB")
    add_verb(
        verbs,
        "init",
        commands.init,
        "make the tables, and a one-time link for the first treasurer",
        "interlets-node init --config node.toml",
    )
    _add_join(verbs)
    add_verb(
        verbs,
        "serve",
        commands.serve,
        "serve the node until told to stop",
        "interlets-node serve --config node.toml",
    )
    _add_member(verbs)
    add_verb(
        verbs,
        "sign-in",
        commands.sign_in,
        "make a new one-time link for the treasurer",
        "interlets-node sign-in --config node.toml",
    )
    return top


def _add_join(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    join = add_verb(
        verbs,
        "join",
        commands.join,
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


def _add_member(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    member = verbs.add_parser("member", help="members of the group")
    kinds = member.add_subparsers(required=True, metavar="VERB")
    imported = add_verb(
        kinds,
        "import",
        commands.import_members,
        "add the members of a CSV file (account,name,password,floor,ceiling)",
        "interlets-node member import members.csv --config node.toml",
    )
    imported.add_argument("file", help="the CSV file, or - for standard input")
    add_verb(
        kinds,
        "list",
        commands.list_members,
        "list members with their balances",
        "interlets-node member list --config node.toml",
    )


def main() -> int:
    """Run the command line; gives the exit code."""
    return run(parser())


if __name__ == "__main__":
    sys.exit(main())
