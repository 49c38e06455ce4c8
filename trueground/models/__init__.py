"""Models that keep learning: the registry, what they are trained on, who trains them."""

from trueground.models.registry import ModelRecord, Registry, current_model, load_model

__all__ = ["ModelRecord", "Registry", "current_model", "load_model"]
