"""How much one render of a task template may do.

A template is a program of whoever makes labeling jobs, and the service runs it for each task: one that counts to a
billion must fail with a message, and not hold up everybody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from liquid import BoundTemplate, Environment, RenderContext
from liquid.exceptions import ResourceLimitError

CPU_SECONDS = 5.0
ITERATIONS = 200_000
"""Of all loops of a render together; also the longest range that a filter takes."""
OUTPUT_BYTES = 32 * 1024 * 1024
"""Also of what a template keeps in variables."""
TEXT_CHARACTERS = 8 * 1024 * 1024
"""The longest text that a filter may make."""
NUMBER_BITS = 4096

_render = threading.local()


@contextmanager
def limited_time() -> Iterator[None]:
    """Have what this thread renders within the block end in time: its own, however busy the machine is."""
    _render.end = time.thread_time() + CPU_SECONDS
    try:
        yield
    finally:
        del _render.end


class _Context(RenderContext):  # type: ignore[misc]
    iterations = 0

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Liquid's own limit is that of one nest of loops: there can be thousands of them."""
        _check_time()
        self.iterations += length
        if self.iterations > ITERATIONS:
            raise ResourceLimitError(f"its loops have more than {ITERATIONS:,} turns", token=None)


class _Template(BoundTemplate):  # type: ignore[misc]
    context_class = _Context


class LimitedEnvironment(Environment):  # type: ignore[misc]
    """Liquid within these limits; what goes beyond raises a ``LiquidError``."""

    template_class = _Template
    local_namespace_limit = OUTPUT_BYTES
    output_stream_limit = OUTPUT_BYTES

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Liquid's own filters, each of them within the limits."""
        super().setup_tags_and_filters(extra=extra)
        for name, run in self.filters.items():
            self.filters[name] = _limited(name, run)


def _limited(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def limited(value: Any, *arguments: Any, **named: Any) -> Any:
        _check_time()
        if _length_at_most(name, value, arguments) > TEXT_CHARACTERS:
            raise ResourceLimitError(f"{name} would make more than {TEXT_CHARACTERS:,} characters", token=None)
        made = run(value, *arguments, **named)
        # Filters put one after another make much of little.
        if isinstance(made, str) and len(made) > TEXT_CHARACTERS:
            raise ResourceLimitError(f"{name} made more than {TEXT_CHARACTERS:,} characters", token=None)
        if isinstance(made, int) and made.bit_length() > NUMBER_BITS:
            raise ResourceLimitError(f"{name} made a number of more than {NUMBER_BITS:,} bits", token=None)
        return made

    return limited


def _length_at_most(name: str, value: Any, arguments: Sequence[Any]) -> int:
    """How long a filter's result could be that may be far longer than what goes into it."""
    if any(isinstance(one, range) and one.stop - one.start > ITERATIONS for one in (value, *arguments)):
        raise ResourceLimitError(f"{name}: the range is too long", token=None)
    sizes = [len(one) if isinstance(one, (str, list, tuple)) else 1 for one in (value, *arguments)]
    if name == "replace" and len(sizes) > 2:
        return (sizes[0] + 1) * sizes[2]
    if name == "join" and isinstance(value, (list, tuple)):
        separator = sizes[1] if len(sizes) > 1 else 1
        return sum(separator + (len(item) if isinstance(item, str) else 1) for item in value)
    return 0


def _check_time() -> None:
    if time.thread_time() > getattr(_render, "end", float("inf")):
        raise ResourceLimitError(f"it takes longer than {CPU_SECONDS:g} s", token=None)
