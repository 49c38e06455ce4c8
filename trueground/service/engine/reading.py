"""What can go wrong when a file that a request names is read, told as the request's mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trueground.errors import InputError, TruegroundError


@contextmanager
def reading(uri: str, what: str = "file") -> Iterator[None]:
    """Turn the errors of a read into :class:`InputError` with the file's name."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"there is no such {what}", file=uri) from None
    except UnicodeDecodeError:
        raise InputError(f"the {what} is not UTF-8 text", file=uri) from None
    except TruegroundError:
        raise  # says all of this better
    except OSError as error:
        raise InputError(f"the {what} cannot be read: {error}", file=uri) from error
