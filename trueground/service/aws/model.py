"""botocore's model of the ``sagemaker`` service: the authority on shapes."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel


@cache
def service_model() -> Any:
    """The service's model; loading it takes a moment, once."""
    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
