"""What a task's frame may load."""

from __future__ import annotations

import pytest

from trueground.service.portal.frame_policy import ADDRESS_CHARACTERS, frame_policy, named_images

HERE = "127.0.0.1:8080/portal"


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ('<img src="https://a.example/x.png?size=1&amp;y=2#z">', ["https://a.example/x.png"]),
        ("<script>const x = &#34;https://a.example:8443/b/c.jpg&#34;;</script>", ["https://a.example:8443/b/c.jpg"]),
        ("url('https://a.example/i.png'), url(https://b.example/)", ["https://a.example/i.png", "https://b.example/"]),
        ("see https://a.example/x.png and https://a.example/x.png?again", ["https://a.example/x.png"]),
        # Nothing that would end the policy or write another into it.
        ('"https://a.example/x;script-src *"', ["https://a.example/x"]),
        ('"https://a.example/x,script-src"', ["https://a.example/x"]),
        ("https://*/ https://*.example/ https://u:p@a.example/ https://é.example/ https:///x https://a.example/é", []),
        ("http://a.example/x.png //a.example/x.png data:image/png;base64,x", []),
        ("'https://[::1/x'", []),
    ],
)
def test_images_of_other_hosts_are_those_that_the_page_names(page: str, named: list[str]) -> None:
    assert named_images(page) == named


def test_many_images_are_allowed_by_their_hosts() -> None:
    page = " ".join(f"https://host{number % 100}.example/picture/{number}.png" for number in range(5000))
    named = named_images(page)
    assert named[0] == "https://host0.example" and len(named) == 40
    assert len(" ".join(named)) < ADDRESS_CHARACTERS


def test_a_policy_allows_what_a_task_needs_and_nothing_else() -> None:
    policy = dict(part.split(" ", 1) for part in frame_policy(HERE, ["https://a.example/x.png"], []).split("; "))
    assert policy["img-src"] == f"{HERE}/media/ {HERE}/static/ data: blob: https://a.example/x.png"
    assert policy["frame-src"] == f"{HERE}/media/"
    for name in ("default-src", "connect-src", "form-action", "base-uri"):
        assert policy[name] == "'none'"
    for name in ("script-src", "style-src", "media-src", "frame-src", "font-src"):
        assert "https:" not in policy[name]
    for name in ("allow-same-origin", "allow-top-navigation"):
        assert name not in policy["sandbox"]
