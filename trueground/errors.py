"""Errors that people read: what is wrong, where, and what to do about it."""

from __future__ import annotations


class TruegroundError(Exception):
    """Base of every error that Trueground raises on purpose."""


class PlacedError(TruegroundError):
    """An error with the place where it was found.

    ``str(error)`` reads ``file:line: field: problem. hint``, leaving out what is not known.

    Args:
        problem: what is wrong, as a sentence without its full stop.
        file: the file or URI it stands in.
        line: the line in that file, counted from 1.
        field: the key or option, dotted where it is nested (``rounds.maximum``).
        hint: what to do, as a sentence.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        line: int | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = file
        self.line = line
        self.field = field
        self.hint = hint
        super().__init__(problem)

    def __str__(self) -> str:
        place = str(self.file) if self.file else ""
        if self.line is not None:
            place = f"{place}:{self.line}" if place else f"line {self.line}"
        parts = [part for part in (place, self.field, self.problem.rstrip(".")) if part]
        text = ": ".join(parts) + "."
        return f"{text} {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        # The fields are keyword-only, which Exception's own pickling cannot rebuild.
        return (_rebuild, (type(self), self.problem, self.file, self.line, self.field, self.hint))


class InputError(PlacedError):
    """Something that was given to Trueground cannot be used; trying again does not help."""


class OutsideDataRootError(InputError):
    """A path is outside the folders that this process may read and write."""


class AccessError(InputError, OSError):
    """Files cannot be read or written as things are: the bucket, the credentials or the rights are not good."""


class UnavailableError(PlacedError, OSError):
    """A server that holds files does not work at the moment, after several tries. Trying again later may help."""


def _rebuild(
    kind: type[PlacedError], problem: str, file: str | None, line: int | None, field: str | None, hint: str | None
) -> PlacedError:
    return kind(problem, file=file, line=line, field=field, hint=hint)
