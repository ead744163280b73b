"""``interlets-hub``: the clearing hub's command line."""

import argparse
import sys

from clearing import commands
from protocol.peer.command_line import add_verb, run


def parser() -> argparse.ArgumentParser:
    """Describe every verb."""
    top = argparse.ArgumentParser(prog="interlets-hub", description=__doc__)
    verbs = top.add_subparsers(required=True, metavar="VERB")
    init = add_verb(
        verbs,
        "init",
        commands.init,
        "make a federation: its keys, its root key on a sheet, the first sign-in",
        "interlets-hub init vlaanderen --config hub.toml",
    )
    init.add_argument("name", help="the federation's short name, as vlaanderen")
    add_verb(
        verbs,
        "serve",
        commands.serve,
        "serve the hub until told to stop",
        "interlets-hub serve --config hub.toml",
    )
    invite = add_verb(
        verbs,
        "invite",
        commands.invite,
        "invite a group: a one-time link for its treasurer, good for seven days",
        "interlets-hub invite oostende --floor -100 --ceiling 100 --config hub.toml",
    )
    invite.add_argument("group", help="the group's name for ever, as oostende")
    invite.add_argument(
        "--floor", type=int, default=-100, help="lowest position, hours (-100)"
    )
    invite.add_argument(
        "--ceiling", type=int, default=100, help="highest position, hours (100)"
    )
    group = verbs.add_parser("group", help="groups of the federation")
    add_verb(
        group.add_subparsers(required=True, metavar="VERB"),
        "list",
        commands.list_groups,
        "list groups, their limits in hours, and the digits to compare by telephone",
        "interlets-hub group list --config hub.toml",
    )
    add_verb(
        verbs,
        "sign-in",
        commands.sign_in,
        "make a new one-time link for the regional admin",
        "interlets-hub sign-in --config hub.toml",
    )
    return top


def main() -> int:
    """Run the command line; gives the exit code."""
    return run(parser())


if __name__ == "__main__":
    sys.exit(main())
