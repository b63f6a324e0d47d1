"""Learning from corrupted labels: an importance for every training example."""

PARTS = ("data", "method")
"""What names a cell, outermost first."""
