"""Few-shot learning: a representation that the tasks share, and what it is compared with."""

PARTS = ("data", "method")
"""What names a cell, outermost first."""
