"""What a few-shot cell's settings name, for those who do not train: the module of its form."""

from __future__ import annotations

FORMS = {
    "heads": ("heads", "Learner"),
    "anil": ("anil", "Learner"),
    "maml": ("adapted", "Learner"),
    "imaml": ("adapted", "Implicit"),
    "prototypes": ("prototypes", "Learner"),
    "probe": ("probe", "Learner"),
}
"""What a cell names as its `form`, and the module of this package and its class that is the method."""


def learner_of(form: str) -> tuple[str, str]:
    """(module, class) of a form."""
    module, name = FORMS[form]
    return f"pipelines.few_shot.{module}", name
