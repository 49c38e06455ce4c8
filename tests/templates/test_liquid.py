"""Liquid as AWS's templates use it: lists as JSON, escapes in texts, data shown as it was written."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest

from trueground.errors import InputError
from trueground.service import liquid

INPUT: dict[str, Any] = {
    "labels": ["a", "b'c", 'd"<e>'],
    "numbers": [1, 2.5, True, None],
    "nested": [["a"], {"x": ["y"]}],
    "nothing": [],
    "object": {"x": [1]},
    "lines": "one\ntwo <b>\n\n  three",
    "hebrew": "שלום world",
    "plain": "a & b",
    "path": "s3://b/שלום.png",
}


def render(template: str) -> str:
    return liquid.render(template, INPUT, crowd_script="", grant_read_access=lambda uri: f"link:{uri}")


@pytest.mark.parametrize("name", ["labels", "numbers", "nested", "nothing", "object"])
@pytest.mark.parametrize("filters", ["", " | to_json", " | escape", " | to_json | escape"])
def test_lists_and_objects_are_put_out_as_json(name: str, filters: str) -> None:
    made = render(f'<crowd-classifier categories="{{{{ task.input.{name}{filters} }}}}"></crowd-classifier>')
    text = html.unescape(made.split('"')[1])
    assert json.loads(text) == INPUT[name]


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("{{ task.input.labels | join: '+' }}", "a+b&#39;c+d&#34;&lt;e&gt;"),
        ("{{ task.input.labels | first }} {{ task.input.labels.size }} {{ task.input.labels[1] }}", "a 3 b&#39;c"),
        ("{% for l in task.input.labels %}{{ l }};{% endfor %}", "a;b&#39;c;d&#34;&lt;e&gt;;"),
        ("{% if task.input.labels contains 'a' %}yes{% endif %}", "yes"),
        ("{{ task.input.object.x[0] }}", "1"),
    ],
)
def test_what_liquid_does_with_lists_is_as_before(template: str, made: str) -> None:
    assert render(template) == made


@pytest.mark.parametrize(
    ("template", "made"),
    [
        (r"{{ 'it\'s' }}", "it's"),
        (r'{{ "say \"a\"" }}', 'say "a"'),
        (r"""{{ 'both \' and "' }}""", """both ' and \""""),
        (r"{{ 'it\'s' | append: '\n\u00e9\\' }}", "it's\né\\"),
        (r"{% assign x = 'it\'s' %}{{ x | upcase }}", "IT'S"),
        (r"{% if task.input.plain == 'it\'s' %}{% else %}{{ 'don\'t' }}{% endif %}", "don't"),
        (r"{% case 'it\'s' %}{% when 'it\'s' %}same{% endcase %}", "same"),
        (r"{{ task.input.plain | replace: '&', 'it\'s' }}", "a it's b"),
        # What could be read before is read as before.
        (r"{{ 'a\n' }}{{ 'C:\' }}{{ 'a' | append: '\\' }}", r"a\nC:\a\\"),
    ],
)
def test_texts_may_have_escaped_quotes(template: str, made: str) -> None:
    assert html.unescape(render(f'<i title="{template}"></i>').split("title=")[1][1:-6]) == made


def test_a_text_that_does_not_end_is_named_with_its_line() -> None:
    with pytest.raises(InputError) as caught:
        render("<p>\n{{ 'it\\'s }}</p>")
    assert caught.value.line == 2


LINES = '<span style="white-space: pre-wrap">one\ntwo &lt;b&gt;\n\n  three</span>'


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("<p>{{ task.input.lines }}</p>", f"<p>{LINES}</p>"),
        ("<p>{{- task.input.lines | escape -}}</p>", f"<p>{LINES}</p>"),
        ("<p>{{ task.input.hebrew }}</p>", "<p>שלום world</p>"),
        ("<p>{{ task.input.plain }}</p>", "<p>a &amp; b</p>"),
        (
            "<p>{{ task.input.lines | newline_to_br }}</p>",
            "<p>one<br />\ntwo &lt;b&gt;<br />\n<br />\n  three</p>",
        ),
        ("<p>{{ task.input.lines | skip_autoescape }}</p>", "<p>one\ntwo <b>\n\n  three</p>"),
        ("<i title='{{ task.input.lines }}'></i>", "<i title='one\ntwo &lt;b&gt;\n\n  three'></i>"),
        ("<textarea>{{ task.input.lines }}</textarea>", "<textarea>one\ntwo &lt;b&gt;\n\n  three</textarea>"),
        ("<script>x = `{{ task.input.hebrew }}`</script>", "<script>x = `שלום world`</script>"),
        ("<style>/* {{ task.input.hebrew }} */</style>", "<style>/* שלום world */</style>"),
        ("<!-- {{ task.input.hebrew }} -->", "<!-- שלום world -->"),
        ("<svg><text>{{ task.input.hebrew }}</text></svg>", "<svg><text>שלום world</text></svg>"),
        (
            "{% capture p %}{{ task.input.path }}{% endcapture %}<img src='{{ p | grant_read_access }}'>",
            "<img src='link:s3://b/שלום.png'>",
        ),
    ],
)
def test_data_is_shown_as_it_was_written_in_running_text_only(template: str, made: str) -> None:
    assert render(template) == made
