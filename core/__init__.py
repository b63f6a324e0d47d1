"""Bilevel optimisation: a problem, its products, hypergradients and solvers. Knows no data set, file or tracker."""

from core import solvers
from core.hypergradients import hypergradient
from core.problem import Bilevel

__all__ = ["Bilevel", "hypergradient", "solvers"]
