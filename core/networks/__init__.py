"""The paper's networks, layer for layer, as pure functions of their parameters."""
