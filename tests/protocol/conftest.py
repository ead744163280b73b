"""Property tests draw the same examples in every run: a failure is never a rumour."""

from hypothesis import settings

settings.register_profile(
    "the same each time",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=500,
)
settings.load_profile("the same each time")
