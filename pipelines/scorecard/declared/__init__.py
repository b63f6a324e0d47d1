"""The claims, a file for each part of the paper; all of them in the order of their numbers."""

from __future__ import annotations

from pipelines.scorecard.claim import Claim
from pipelines.scorecard.declared import across, attacks, denoising, few_shot, method, others, synthetic

PARTS = (synthetic, method, denoising, few_shot, attacks, across, others)
CLAIMS: tuple[Claim, ...] = tuple(sorted((one for part in PARTS for one in part.CLAIMS), key=lambda claim: claim.id))


def claim(identity: str) -> Claim:
    """The claim of this number; raises KeyError for one that there is not."""
    return {one.id: one for one in CLAIMS}[identity]
