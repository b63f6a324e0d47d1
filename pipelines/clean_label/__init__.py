"""One image with its right label, added to what a victim trains on, so that one test image is called by another class."""

PARTS = ("data", "method")
"""What names a cell, outermost first."""
