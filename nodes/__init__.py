"""The node: a group's own server, with its members, ledger and pages."""
