"""A node's command line: what each verb does."""
