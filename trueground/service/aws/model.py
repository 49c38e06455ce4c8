"""botocore's models of the services that are spoken here: the authority on shapes."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel


def service_model() -> Any:
    """The model of ``sagemaker``; loading it takes a moment, once."""
    return _model("sagemaker")


def loop_model() -> Any:
    """The model of ``sagemaker-a2i-runtime``."""
    return _model("sagemaker-a2i-runtime")


@cache
def _model(name: str) -> Any:
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)
