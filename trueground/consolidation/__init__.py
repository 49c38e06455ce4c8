"""Many answers to one data object become one label with a confidence.

:func:`consolidate_classes` works on arrays, :func:`consolidate_frame` on a table. Each algorithm is a module of its
own; the default, :class:`~trueground.consolidation.ensemble.Ensemble`, averages them.
"""

from trueground.consolidation.agreement import krippendorff_alpha
from trueground.consolidation.classes import (
    ClassConsolidation,
    consolidate_classes,
    consolidate_frame,
    consolidate_with_workers,
)
from trueground.consolidation.methods import METHODS

__all__ = [
    "METHODS",
    "ClassConsolidation",
    "consolidate_classes",
    "consolidate_frame",
    "consolidate_with_workers",
    "krippendorff_alpha",
]
