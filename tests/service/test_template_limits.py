"""Templates that would never end, or fill the memory, fail with a message; those of real size do not."""

from __future__ import annotations

from typing import Any

import pytest

from trueground.errors import InputError
from trueground.service import liquid, liquid_limits

LONG = "{% assign x = 'ab' %}" + "{% assign x = x | append: x %}" * 21


def render(template: str, **task_input: Any) -> str:
    return liquid.render(template, task_input, crowd_script="", grant_read_access=str)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in (1..1000000000) %}x{% endfor %}",
        "{% for i in (1..1000000000000000000000000000000) %}x{% endfor %}",
        "{% for i in (1..1000) %}{% for j in (1..1000) %}{% endfor %}{% endfor %}",
        "{% for i in (1..150000) %}{% endfor %}" * 2,
        "{% tablerow i in (1..100000000) cols:2 %}x{% endtablerow %}",
        "{{ (1..1000000000) | join: 'x' }}",
        "{{ 'a' | concat: (1..1000000000) | size }}",
        "{% assign x = 'aaaa' %}" + "{% assign x = x | append: x %}" * 40,
        "{{ '" + "a" * 3000 + "' | replace: '', '" + "b" * 3000 + "' | size }}",
        "{{ 'abc' " + "| replace: '', 'bbbbbbbbbb' " * 12 + "| size }}",
        LONG + "{{ x | split: '' | join: x | size }}",
        "{% assign x = 99999 %}" + "{% assign x = x | times: x %}" * 30,
        LONG + "{% for i in (1..150000) %}{% assign y = x | upcase | downcase %}{% endfor %}",
        LONG + "{{ x }}" * 10,
        "{% if " + "(" * 3000 + "true" + ")" * 3000 + " %}x{% endif %}",
        "{{ a" + "[a" * 3000 + "]" * 3000 + " }}",
        "{% if true %}" * 3000,
    ],
)
def test_a_template_that_asks_too_much_is_refused(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liquid_limits, "CPU_SECONDS", 0.5)
    with pytest.raises(InputError, match="the task template cannot be rendered: ") as caught:
        render(template)
    assert len(str(caught.value)) < 1000


def test_a_template_of_real_size_is_rendered() -> None:
    frames = [{"number": number, "boxes": list(range(20))} for number in range(5000)]
    template = "{% for frame in task.input.frames %}{% for box in frame.boxes %}{{ box }},{% endfor %}\n{% endfor %}"
    assert render(template, frames=frames).count("\n") == 5000
    assert len(render("{{ task.input.text | upcase | escape }}", text="x" * 3_000_000)) == 3_000_000
