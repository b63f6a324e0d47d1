"""Poisons added to the training set of a softmax regression, so that it errs everywhere, or where the attacker wants."""

PARTS = ("data", "method")
"""What names a cell, outermost first; (experiment, variant) for cells beside the table."""
