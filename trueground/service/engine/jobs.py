"""Labeling jobs: create, describe, list, stop."""
