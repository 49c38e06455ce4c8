"""Many answers to one data object become one label with a confidence."""

from trueground.consolidation.agreement import krippendorff_alpha
from trueground.consolidation.classes import ClassConsolidation, consolidate_classes, consolidate_frame

__all__ = ["ClassConsolidation", "consolidate_classes", "consolidate_frame", "krippendorff_alpha"]
