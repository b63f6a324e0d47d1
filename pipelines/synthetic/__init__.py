"""Examples 1-4: pairs of quadratics of which every solution is known."""

PARTS = ("example", "method", "preset")
"""What names a cell, outermost first."""
