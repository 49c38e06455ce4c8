"""What a template's check rejects, what it warns of, and what it lets through."""

from __future__ import annotations

import re
import time

import pytest

from trueground.crowd_elements import ELEMENTS, ONLY_ON_AWS
from trueground.errors import InputError
from trueground.relaxed_json import parse_relaxed
from trueground.service.portal import static
from trueground.template_check import Labels, check_template, reject_errors, warnings_of
from trueground.template_markup import read_markup

SCRIPT = '<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>'
FIELD = '<crowd-input name="f"></crowd-input>'
CLASSIFIERS = ("crowd-classifier", "crowd-image-classifier")


def errors(template: str, **given: object) -> list[str]:
    return [str(one) for one in check_template(template, **given) if one.error]  # type: ignore[arg-type]


def warned(template: str, **given: object) -> list[str]:
    return warnings_of(check_template(template, **given))  # type: ignore[arg-type]


def form(body: str) -> str:
    return f"{SCRIPT}\n<crowd-form>\n{body}\n</crowd-form>"


def classifier(categories: str, tag: str = "crowd-classifier") -> str:
    return form(f'<{tag} name="c" categories="{categories}" header="?"></{tag}>')


def test_the_list_of_elements_is_what_the_portals_scripts_define() -> None:
    script = static.content("crowd-html-elements.js").decode()
    defined = set(re.findall(r"customElements\.define\('([^']+)'", script))
    assert defined == set(ELEMENTS)
    assert not set(ELEMENTS) & set(ONLY_ON_AWS)
    answering = {name for name, element in ELEMENTS.items() if element.answers}
    parents = dict(re.findall(r"class (\w+) extends (\w+)", script))
    classes = dict(re.findall(r"customElements\.define\('([^']+)', (\w+)\)", script))

    def is_input(name: str | None) -> bool:
        return name == "CrowdInput" or (name is not None and is_input(parents.get(name)))

    assert {name for name, kind in classes.items() if is_input(kind)} == answering


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            '<crowd-entity-annotation name="e"></crowd-entity-annotation>',
            "line 3: <crowd-entity-annotation> is an elem",
        ),
        ('<crowd-bounding-box name="e"></crowd-bounding-box>' + FIELD, "<crowd-bounding-box> is an element of AWS"),
        ('<crowd-clasifier name="e"></crowd-clasifier>', "did you mean <crowd-classifier>?"),
        ('<crowd-textarea name="e"></crowd-textarea>' + FIELD, "did you mean <crowd-text-area>?"),
        ("<crowd-frobnicator></crowd-frobnicator>" + FIELD, "no script of the template defines"),
        ("{% if task.input.x %}\n<crowd-polygon></crowd-polygon>{% endif %}" + FIELD, "line 4: <crowd-polygon>"),
        (
            "{% for x in task.input.l %}<crowd-line></crowd-line>{% endfor %}" + FIELD,
            "<crowd-line> is an element of AWS",
        ),
        ("<p>Only text.</p>", "line 2: the form has neither an input with a name nor a script"),
        ("<input type='text'>", "neither an input with a name"),
        ('<input type="file" name="f">', "neither an input with a name"),
        ('<input type="button" name="b">', "neither an input with a name"),
        ('<button type="button" name="b">x</button>', "neither an input with a name"),
        ('<!-- <crowd-input name="x"></crowd-input> -->', "neither an input with a name"),
        ('{% comment %}<crowd-input name="x"></crowd-input>{% endcomment %}', "neither an input with a name"),
        ('<script src="https://example.org/x.js"></script>', "neither an input with a name"),
        ('<template><crowd-input name="x"></crowd-input></template>', "neither an input with a name"),
        (
            "<crowd-classifier categories=\"['a', \"></crowd-classifier>",
            "cannot be read: expected a value at character 7",
        ),
        ('<crowd-classifier categories="{}"></crowd-classifier>', "must be a list of names"),
        ('<crowd-classifier categories="[[]]"></crowd-classifier>', "must be a list of names"),
        ("<crowd-classifier></crowd-classifier>", "has no categories"),
        ('<crowd-image-classifier categories="[]"></crowd-image-classifier>', "has no categories"),
        (
            '<crowd-image-classifier categories="[\'a\']" overlay="{}"></crowd-image-classifier>',
            "line 3: the attribute overlay of <crowd-image-classifier>",
        ),
    ],
)
def test_what_cannot_work_is_an_error_that_names_element_and_line(body: str, problem: str) -> None:
    (found,) = errors(form(body))
    assert problem in found


@pytest.mark.parametrize(
    "body",
    [
        FIELD,
        '<input name="x">',
        '<select name="x"><option>a</option></select>',
        '<textarea name="x"></textarea>',
        '<button name="x" value="yes">Yes</button>',
        "<script>build()</script>",
        '<p onclick="build()">x</p>',
        '<input name="{{ task.input.name }}">',
        '<crowd-thing></crowd-thing><script>customElements.define("crowd-thing", Thing)</script>',
        "<crowd-thing></crowd-thing><script>window.customElements .define( `crowd-thing` , class {})</script>",
        "<crowd-{{ task.input.kind }} name='x'></crowd-{{ task.input.kind }}>",
        "{% if task.input.a < task.input.b %}<b>less</b>{% endif %}" + FIELD,
        '<p title="{% if a > b %}>{% endif %}">x</p>' + FIELD,
        "{% raw %}{{ <crowd-nothing }}{% endraw %}".replace("<crowd-nothing", "crowd") + FIELD,
        '<script>const html = "<crowd-nothing></crowd-nothing>";</script>',
        "<style>crowd-polygon { color: red }</style>" + FIELD,
        '<crowd-input name="x" />',
        '<crowd-classifier name="c" categories="{{ task.input.labels }}"></crowd-classifier>',
        "<crowd-classifier name='c' categories=\"[{% for l in task.input.labels %}'{{ l }}',{% endfor %}]\">"
        "</crowd-classifier>",
        "<crowd-classifier name='c'></crowd-classifier><script>chooser.categories = ['a'];</script>",
        '<crowd-classifier name="c" categories="[{label: cat}, dog, \'b\', 3,]"></crowd-classifier>',
    ],
)
def test_what_works_is_not_rejected(body: str) -> None:
    assert errors(form(body)) == []


@pytest.mark.parametrize(
    "template",
    [
        '<crowd-classifier name="c" categories="[\'a\']"></crowd-classifier>',
        '<crowd-textract-analyze-document src="{{ task.input.x }}"></crowd-textract-analyze-document>',
    ],
)
def test_an_element_that_is_a_whole_task_needs_no_form(template: str) -> None:
    assert errors(template) == []
    assert warned(template) == []


@pytest.mark.parametrize(
    "template", ["<p>x</p>", FIELD, "", '{% comment %}<crowd-form>{% endcomment %}<input name="x">']
)
def test_a_template_without_a_form_is_rejected(template: str) -> None:
    assert errors(template) == ["the template has no <crowd-form>, so nothing could be submitted"]


def test_an_unknown_element_without_a_form_is_named_and_nothing_else() -> None:
    (found,) = errors('<crowd-entity-annotation name="e"></crowd-entity-annotation>')
    assert "<crowd-entity-annotation>" in found


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ('<crowd-text-area name="t"></crowd-text-area>\n<input name="t">', "have the name 't' (lines 3, 4)"),
        ('<crowd-classifier name="c" categories="[a]"></crowd-classifier><input name="c">', "have the name 'c'"),
        ('<input type="checkbox" name="m" value="x"><input type="checkbox" name="m" value="x">', "the name 'm'"),
        ('{% for a in task.input.l %}<input name="q">{% endfor %}', "is in a loop of Liquid"),
        ("<input>" + FIELD, "<input> has no name"),
        ('<input type="file" name="up">' + FIELD, "files are not part of an answer"),
        (
            '<script src="https://cdn.example.org/d3.js"></script>' + FIELD,
            "the script https://cdn.example.org/d3.js is of",
        ),
        ('<script src="helper.js"></script>' + FIELD, "the script helper.js is of another host"),
        ('<link rel="stylesheet" href="//cdn.example.org/b.css">' + FIELD, "the stylesheet //cdn.example.org/b.css"),
        (
            '<iframe src="https://www.example.org/embed"></iframe>' + FIELD,
            "the page https://www.example.org/embed is of",
        ),
        ('<img src="http://example.org/a.png">' + FIELD, "the image http://example.org/a.png is not shown"),
        ('<img src="s3://bucket/a.png">' + FIELD, "the image s3://bucket/a.png is not shown: use grant_read_access"),
        (
            '<video><source src="https://example.org/a.mp4"></video>' + FIELD,
            "https://example.org/a.mp4 is of another host",
        ),
        ("<script>fetch('x')</script>" + FIELD, "a script sends requests"),
        ("<script>import d3 from 'https://example.org/d3.js'</script>" + FIELD, "imports a module"),
        ("<script>x.shadowRoot.querySelector('y')</script>" + FIELD, "shadowRoot"),
        ("<script>localStorage.x = 1</script>" + FIELD, "uses storage"),
        ("<button>Add</button>" + FIELD, "<button> without a type submits nothing"),
        ("</crowd-form><crowd-form>" + FIELD, "a second <crowd-form>"),
        (FIELD + "</crowd-form><crowd-text-area name='late'></crowd-text-area>", "is outside <crowd-form>"),
    ],
)
def test_what_may_not_work_is_a_warning(body: str, warning: str) -> None:
    assert errors(form(body)) == []
    (found,) = warned(form(body))
    assert warning in found


@pytest.mark.parametrize(
    "body",
    [
        '<input type="checkbox" name="m" value="x"><input type="checkbox" name="m" value="y">',
        '<input type="radio" name="r" value="x"><input type="radio" name="r" value="y">',
        '<crowd-checkbox name="m" value="x"></crowd-checkbox><crowd-checkbox name="m" value="y"></crowd-checkbox>',
        '{% if a %}<input name="q">{% else %}<crowd-input name="q"></crowd-input>{% endif %}',
        '{% case a %}{% when 1 %}<input name="q">{% when 2 %}<input name="q">{% endcase %}',
        '{% for a in l %}<input name="q{{ forloop.index }}">{% endfor %}',
        '{% for a in l %}<input type="checkbox" name="q" value="{{ a }}">{% endfor %}',
        '<img src="https://example.org/a.png"><img src="{{ task.input.x | grant_read_access }}">' + FIELD,
        '<img src="data:image/png;base64,xx"><a href="https://example.org" target="_blank">More</a>' + FIELD,
        '<script src="https://assets.crowd.aws/crowd-html-elements-v2.js"></script>' + FIELD,
        '<button type="button">Add</button><button type="submit">Done</button>' + FIELD,
    ],
)
def test_nothing_is_said_of_what_works(body: str) -> None:
    assert warned(form(body)) == []


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (classifier("['Cat','Dog']"), "line 3: <crowd-classifier> offers 'Cat', 'Dog', and the label category file has "
         "only 'cat', 'dog'"),
        (classifier("[cat, dog, cow]"), "offers 'cow'"),
        (classifier("[{label: 'Cat'}]", "crowd-image-classifier"), "<crowd-image-classifier> offers 'Cat'"),
        (classifier("['cat ', 'dog']"), "offers 'cat '"),
        (form(FIELD), "come from <crowd-classifier> or <crowd-image-classifier>, and the template has neither"),
        (form(2 * '<crowd-classifier categories="[cat, dog]"></crowd-classifier>'), "and the template has several"),
    ],
)  # fmt: skip
def test_a_template_that_disagrees_with_the_label_file_is_rejected(template: str, problem: str) -> None:
    (found,) = errors(template, labels=Labels(["cat", "dog"], CLASSIFIERS))
    assert problem in found


def test_categories_that_liquid_makes_are_compared_in_the_page() -> None:
    template = classifier("{{ task.input.labels | to_json }}")
    labels = Labels(["cat", "dog"], CLASSIFIERS)
    assert errors(template, labels=labels) == []
    assert errors(template, labels=labels, rendered=classifier("[&#34;cat&#34;,&#34;dog&#34;]")) == []
    (found,) = errors(template, labels=labels, rendered=classifier("[&#34;Cat&#34;]"))
    assert "line 3 of the page: <crowd-classifier> offers 'Cat'" in found


def test_a_page_is_looked_at_for_what_liquid_made() -> None:
    template = form("<crowd-{{ task.input.kind }} name='x'></crowd-{{ task.input.kind }}>")
    (found,) = errors(template, rendered=form("<crowd-polygon name='x'></crowd-polygon>"))
    assert "of the page: <crowd-polygon>" in found
    template = form('{% for p in l %}<crowd-input name="p{{ p }}"></crowd-input>{% endfor %}')
    (twice,) = warned(template, rendered=form(2 * '<crowd-input name="p1"></crowd-input>'))
    assert "have the name 'p1'" in twice
    # An element that this task's data leaves out is no fault of the template.
    assert errors(form("{% if x %}" + FIELD + "{% endif %}"), rendered=form("")) == []


def test_what_is_wrong_in_the_template_and_in_the_page_is_told_once() -> None:
    template = form(
        "<p>{{ task.input.text }}</p>" + 2 * '<input name="q">' + '<script src="https://x.org/d.js"></script>'
    )
    page = template.replace("{{ task.input.text }}", "three\nlines\nmore")
    assert len(warned(template, rendered=page)) == 2


def test_links_that_were_granted_are_not_of_another_host() -> None:
    template = form('<video src="{{ task.input.v | grant_read_access }}"></video>' + FIELD)
    page = form('<video src="http://here/media/token"></video>' + FIELD)
    assert warned(template, rendered=page, own_address="http://here/media/") == []
    assert len(warned(template, rendered=page)) == 1


def test_categories_that_nobody_can_choose_are_a_warning() -> None:
    (found,) = warned(classifier("[cat]"), labels=Labels(["cat", "dog"], CLASSIFIERS))
    assert "does not offer 'dog'" in found
    # Without a task type the label file is no more than a note.
    assert errors(classifier("[Cat]"), labels=Labels(["cat", "dog"])) == []
    assert len(warned(classifier("[Cat]"), labels=Labels(["cat", "dog"]))) == 1


def test_elements_of_aws_are_known_where_people_work_at_aws() -> None:
    template = form('<crowd-bounding-box name="b"></crowd-bounding-box>')
    assert errors(template, elements=ELEMENTS | ONLY_ON_AWS) == []


def test_one_message_names_all_errors_with_their_lines() -> None:
    body = "<crowd-polygon></crowd-polygon>\n<crowd-line></crowd-line>" + 4 * "\n<crowd-inptu></crowd-inptu>"
    with pytest.raises(InputError) as caught:
        reject_errors(check_template(form(body)), file="s3://b/t.html")
    text = str(caught.value)
    assert text.startswith("s3://b/t.html:3: <crowd-polygon> is an element of AWS")
    assert "line 4: <crowd-line>" in text and "and 2 more" in text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['a', \"b\", c,]", ["a", "b", "c"]),
        ("{a: 1, 'b': [true, null, -1.5e1], // x\n c: {}}", {"a": 1, "b": [True, None, -15], "c": {}}),
        (r"'it\'s \u00e9\n'", "it's é\n"),
        ("/* all */ [ ]", []),
    ],
)
def test_relaxed_json(text: str, value: object) -> None:
    assert parse_relaxed(text) == value


@pytest.mark.parametrize("text", ["[", "{a}", "'x", "[1] 2", "", ":", "[" * 1000, r"'\u12'"])
def test_what_relaxed_json_is_not(text: str) -> None:
    with pytest.raises(ValueError):
        parse_relaxed(text)


def test_outputs_in_running_text_are_found() -> None:
    template = (
        "<p>{{ yes }}</p><p title='{{ no }}'>{{ yes }}</p><!-- {{ no }} --><script>{{ no }}</script>"
        "<textarea>{{ no }}</textarea>{% capture x %}{{ no }}{% endcapture %}<li>{% if a %}{{ yes }}{% endif %}</li>"
    )
    found = sorted(read_markup(template).text_outputs)
    assert [template[at:].split()[1] for at in found] == ["yes", "yes", "yes"]


@pytest.mark.parametrize(
    "text",
    [
        "<!--",
        "<!-- >",
        "<a ",
        "<",
        "</",
        "<textarea>",
        "<option>",
        "{% if a %}",
        "{{",
        "{%",
        "<input name=a>",
        "<a x='",
    ],
)
def test_a_long_template_of_beginnings_is_read_at_once(text: str) -> None:
    """Each place of it would be tried anew: a quarter of this took a minute."""
    before = time.thread_time()
    read_markup(text * (400_000 // len(text)))
    assert time.thread_time() - before < 10


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("<i><!-- <b> --><u><!-- <s>", ["i", "u"]),
        ("<i><!--><b><!-- x ---><u>", ["i", "b", "u"]),
        ("<i>1 < 2 <b", ["i"]),
        ("<script>x = '<!-- <b>'</script><i><STYLE>/* <!-- */</STYLE><b>", ["script", "i", "style", "b"]),
        ("{% raw %}<i>{{ {% endraw %}<b>{% comment %}<u>{% endcomment %}{{ '<s>' }}<em>{% broken", ["i", "b", "em"]),
        ("{% if a %}" * 60 + "<i>" + "{% else %}{% endif %}" * 60 + "<b>", ["i", "b"]),
    ],
)
def test_what_is_an_element_and_what_is_not(template: str, names: list[str]) -> None:
    found = read_markup(template).elements
    assert [element.name for element in found] == names
    assert len(found[-1].branch) == 0
