"""Manifests: JSON Lines of data objects. Build, read, check, write."""

from trueground.manifests.build import build_manifest
from trueground.manifests.check import ManifestReport, check_manifest
from trueground.manifests.lines import Problem
from trueground.manifests.read import object_key, read_manifest
from trueground.manifests.write import write_manifest

__all__ = [
    "ManifestReport",
    "Problem",
    "build_manifest",
    "check_manifest",
    "object_key",
    "read_manifest",
    "write_manifest",
]
