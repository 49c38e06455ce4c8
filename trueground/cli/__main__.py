"""``python -m trueground.cli``."""

from trueground.cli import main

main()
