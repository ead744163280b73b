"""The hub's command line: what each verb does."""
