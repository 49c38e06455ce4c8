"""What a template's check has found."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a template.

    Args:
        problem: what is wrong, as a sentence without its full stop.
        line: counted from 1; ``None`` where it is the whole template.
        error: it cannot work; else it may not work.
        in_page: the line is that of the page made for one task, because Liquid makes the place.
        about: what two findings have in common that say the same of the template and of the page; the problem, if
            nothing else.
    """

    problem: str
    line: int | None
    error: bool = False
    in_page: bool = False
    about: str = ""

    @property
    def key(self) -> tuple[bool, str]:
        """The same for findings that say the same."""
        return self.error, self.about or self.problem

    def rendered(self) -> Finding:
        """The same, found in the page made for a task."""
        return replace(self, in_page=True)

    def __str__(self) -> str:
        if self.line is None:
            return self.problem
        return f"line {self.line}{' of the page' if self.in_page else ''}: {self.problem}"
