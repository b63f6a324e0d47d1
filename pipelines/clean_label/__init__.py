"""One image with its right label, added to what a victim trains on, so that one test image is called by another class."""

PARTS = ("data", "method")
"""What names a cell, outermost first."""


def key_of(epsilon: float | None) -> str:
    """How a bound is named in a summary: by the trials that have it (`pipelines.summary.followed`)."""
    return f"epsilon={epsilon}"
