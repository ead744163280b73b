"""``interlets-hub``: the clearing hub's command line."""

import argparse
import sys

from clearing import app
from clearing.commands import admins, caps, cycles, groups, hub
from protocol.peer import backup_commands, key_commands
from protocol.peer.command_line import add_verb, run
from protocol.sharing import SharingRule


def parser() -> argparse.ArgumentParser:
    """Describe every verb."""
    top = argparse.ArgumentParser(prog="interlets-hub", description=__doc__)
    verbs = top.add_subparsers(required=True, metavar="VERB")
    init = add_verb(
        verbs,
        "init",
        hub.init,
        "make a federation: its keys, its root key on a sheet, the first sign-in",
        "interlets-hub init vlaanderen --config hub.toml",
    )
    init.add_argument("name", help="the federation's short name, as vlaanderen")
    add_verb(
        verbs,
        "serve",
        hub.serve,
        "serve the hub until told to stop",
        "interlets-hub serve --config hub.toml",
    )
    invite = add_verb(
        verbs,
        "invite",
        hub.invite,
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
    _add_speaker(invite)
    _add_group(verbs)
    _add_cap(verbs)
    _add_cycle(verbs)
    _add_admin(verbs)
    add_verb(
        verbs,
        "audit",
        hub.audit,
        "recompute the ledger and verify what is stored; exit code 1 when it is wrong",
        "interlets-hub audit --config hub.toml",
    )
    alarms = add_verb(
        verbs,
        "alarms",
        hub.list_alarms,
        "list what people must look at",
        "interlets-hub alarms --config hub.toml",
    )
    alarms.add_argument(
        "--most", type=int, default=20, help="most to list, 1 to 200 (20)"
    )
    add_verb(
        verbs,
        "sign-in",
        hub.sign_in,
        "make a new one-time link for the regional admin",
        "interlets-hub sign-in --config hub.toml",
    )
    backup_commands.add_verbs(verbs, "interlets-hub", hub.subject)
    key_commands.add_verbs(verbs, "interlets-hub", hub.read_public, app.keys_folder)
    return top


def _add_group(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    group = verbs.add_parser("group", help="groups of the federation")
    kinds = group.add_subparsers(required=True, metavar="VERB")
    add_verb(
        kinds,
        "list",
        hub.list_groups,
        "list groups: limits in hours, units per hour and what is asked, and the "
        "digits to compare by telephone",
        "interlets-hub group list --config hub.toml",
    )
    for name, carry_out, told in (
        ("show", groups.show, "show a group, and what it asks for"),
        ("freeze", groups.freeze, "let nothing new in or out of a group"),
        ("release", groups.release, "let a frozen group be as it was before"),
        (
            "leaving",
            groups.leaving,
            "have a group's position run off: a debtor only receives, a creditor pays",
        ),
        ("stay", groups.stay, "let a group that is leaving stay after all"),
    ):
        verb = add_verb(
            kinds,
            name,
            carry_out,
            told,
            f"interlets-hub group {name} oostende --config hub.toml",
        )
        verb.add_argument("group", help="the group's name, as oostende")
        _add_speaker(verb)
    left = add_verb(
        kinds,
        "left",
        groups.left,
        "say that a group has left, for ever; a position it leaves behind is shown",
        "interlets-hub group left oostende --config hub.toml",
    )
    left.add_argument("group", help="the group's name, as oostende")
    left.add_argument(
        "--with-debt",
        action="store_true",
        help="though its position is not zero, as show tells it: it is shared later",
    )
    _add_speaker(left)
    for name, carry_out, told in (
        ("approve", groups.approve, "approve what a group asks for"),
        ("refuse", groups.refuse, "say no to what a group asks for"),
    ):
        example = f"interlets-hub group {name} oostende 17 --config hub.toml"
        verb = add_verb(kinds, name, carry_out, told, example)
        verb.add_argument("group", help="the group's name, as oostende")
        verb.add_argument(
            "proposal", type=int, help="the proposal's number, as show tells it"
        )
    _add_limits(kinds)
    _add_sharing(kinds)


def _add_limits(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    limits = add_verb(
        kinds,
        "limits",
        groups.limits,
        "set a group's lowest and highest position, which bind new payments only; or "
        "show who set them and why",
        "interlets-hub group limits oostende --floor=-50 --ceiling 200 "
        '--reason "agreed on 3 May" --config hub.toml',
    )
    limits.add_argument("group", help="the group's name, as oostende")
    limits.add_argument("--floor", type=int, help="hours, 0 or lower")
    limits.add_argument("--ceiling", type=int, help="hours, 0 or higher")
    limits.add_argument("--reason", help="why, kept beside the change")
    limits.add_argument(
        "--even-outside",
        action="store_true",
        help="also where the group stands outside of them already",
    )
    limits.add_argument(
        "--history", action="store_true", help="show who changed them, when and why"
    )
    limits.add_argument(
        "--most", type=int, default=20, help="most of these to show, 1 to 200 (20)"
    )
    _add_speaker(limits)
    warn = add_verb(
        kinds,
        "warn",
        groups.warn,
        "set from which share of a limit on people are warned; or show it",
        'interlets-hub group warn --percent 75 --reason "agreed" --config hub.toml',
    )
    warn.add_argument("--percent", type=int, help="1 to 100, of the room to a limit")
    warn.add_argument("--reason", help="why, kept beside the change")


def _add_speaker(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--as",
        dest="speaker",
        default=hub.STAFF.name,
        help="which admin says so, where two must agree (@admin)",
    )


def _add_admin(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    admin = verbs.add_parser("admin", help="who the regional admins are")
    kinds = admin.add_subparsers(required=True, metavar="VERB")
    add_verb(
        kinds,
        "list",
        admins.list_admins,
        "list the regional admins; when there are two, they must agree",
        "interlets-hub admin list --config hub.toml",
    )
    for name, carry_out, told in (
        ("add", admins.add, "let somebody be an admin too; shows her link, once"),
        ("remove", admins.remove, "let somebody be an admin no more"),
    ):
        example = f"interlets-hub admin {name} @ann --config hub.toml"
        verb = add_verb(kinds, name, carry_out, told, example)
        verb.add_argument("person", help="the name she signs in with, as @ann")
    consent = verbs.add_parser("consent", help="acts that wait for another's word")
    kinds = consent.add_subparsers(required=True, metavar="VERB")
    add_verb(
        kinds,
        "list",
        admins.list_consents,
        "list what waits for another admin's word, or did",
        "interlets-hub consent list --config hub.toml",
    )
    for name, carry_out, told in (
        ("give", admins.give, "give what another admin asked your word: it is done"),
        ("withdraw", admins.withdraw, "take back what was asked, or say no to it"),
    ):
        example = f"interlets-hub consent {name} 3 --as @ann --config hub.toml"
        verb = add_verb(kinds, name, carry_out, told, example)
        verb.add_argument("number", type=int, help="its number, as list tells it")
        _add_speaker(verb)


def _add_cap(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    cap = verbs.add_parser("cap", help="most that one group may pay another in a month")
    kinds = cap.add_subparsers(required=True, metavar="VERB")
    add_verb(
        kinds,
        "list",
        caps.list_caps,
        "list caps, and what of each is used in this month",
        "interlets-hub cap list --config hub.toml",
    )
    for name, carry_out, told, hours in (
        ("set", caps.set_cap, "cap what FROM may pay TO in a calendar month", "40 "),
        ("remove", caps.remove, "end the cap on what FROM may pay TO", ""),
    ):
        example = f"interlets-hub cap {name} oostende mechelen {hours}"
        verb = add_verb(
            kinds,
            name,
            carry_out,
            told,
            f'{example}--reason "agreed" --config hub.toml',
        )
        verb.add_argument("payer", metavar="FROM", help="the group whose members pay")
        verb.add_argument("payee", metavar="TO", help="the group that is paid")
        if hours:
            verb.add_argument(
                "hours", metavar="HOURS", type=int, help="most in a month, 0 or more"
            )
        verb.add_argument("--reason", required=True, help="why, kept beside the change")


def _add_sharing(
    kinds: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    share = add_verb(
        kinds,
        "share-debt",
        groups.share_debt,
        "show what each group would take over of what one leaves behind; with --tell "
        "put it before all groups, with --decide decide it",
        "interlets-hub group share-debt oostende --rule equal --config hub.toml",
    )
    share.add_argument("group", help="the group's name, as oostende")
    share.add_argument(
        "--rule",
        choices=[rule.value for rule in SharingRule],
        default=SharingRule.EQUAL.value,
        help="the rule that the groups have agreed on (equal)",
    )
    step = share.add_mutually_exclusive_group()
    step.add_argument("--tell", action="store_true", help="put it before all groups")
    step.add_argument("--decide", metavar="ID", help="decide what all were told")
    _add_speaker(share)
    add_verb(
        kinds,
        "sharing",
        groups.sharing,
        "show the rule that groups have agreed on, and what was shared by it",
        "interlets-hub group sharing --config hub.toml",
    )


def _add_cycle(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    cycle = verbs.add_parser("cycle", help="cycles and what settles them")
    kinds = cycle.add_subparsers(required=True, metavar="VERB")
    listed = add_verb(
        kinds,
        "list",
        cycles.list_cycles,
        "list cycles that have ended, newest first",
        "interlets-hub cycle list --config hub.toml",
    )
    listed.add_argument(
        "--most", type=int, default=20, help="most to list, 1 to 200 (20)"
    )
    close = add_verb(
        kinds,
        "close",
        cycles.close,
        "end the open cycle and state each group's figures; trade goes on",
        "interlets-hub cycle close 1 --config hub.toml",
    )
    close.add_argument("cycle", type=int, help="end this one, and no other")
    show = add_verb(
        kinds,
        "show",
        cycles.show,
        "show who agrees, who disputes what, who is silent; how far it is settled",
        "interlets-hub cycle show 1 --config hub.toml",
    )
    show.add_argument("cycle", type=int, help="its number")
    settle = add_verb(
        kinds,
        "settle",
        cycles.settle,
        "make legs that bring its positions to zero",
        "interlets-hub cycle settle 1 --except gent,aalst --config hub.toml",
    )
    settle.add_argument("cycle", type=int, help="its number")
    settle.add_argument(
        "--except",
        dest="excepted",
        metavar="GROUPS",
        help="groups that have no part in it and keep their positions, with commas",
    )
    file = add_verb(
        kinds,
        "file",
        cycles.file,
        "write the file that proves to anyone how a cycle was closed",
        "interlets-hub cycle file 1 --to cycle-1.json --config hub.toml",
    )
    file.add_argument("cycle", type=int, help="its number")
    file.add_argument("--to", required=True, help="the new file")
    cancel = add_verb(
        kinds,
        "cancel",
        cycles.cancel,
        "call off a leg that not both groups have signed",
        "interlets-hub cycle cancel 2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10 "
        "--config hub.toml",
    )
    cancel.add_argument("leg", help="its id, as show tells it")


def main() -> int:
    """Run the command line; gives the exit code."""
    return run(parser())


if __name__ == "__main__":
    sys.exit(main())
