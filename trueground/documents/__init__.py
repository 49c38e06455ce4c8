"""Read documents on one's own machine, in the shape of Amazon Textract's ``AnalyzeDocument``."""

from trueground.documents.reading import read_document

__all__ = ["read_document"]
