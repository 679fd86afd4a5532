"""The page stands alone, with and without matplotlib."""

import base64
import html.parser
import re
import sys

import pytest

from keras_asit import audit
from keras_asit.audit import page as pages

# The filterbank is compared on every backend in test_log_mel.py.
pytestmark = pytest.mark.large_on_jax

VOID = {"meta", "img"}


class Tags(html.parser.HTMLParser):
    """Which tags there are, and whether they close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page(write_set, noise, tmp_path):
    """A function that audits two clips and returns the page."""

    def make():
        clips = {"<b>a&b.wav": noise(0), "c.wav": b"RIFF", "d.wav": noise(0)}
        manifest = write_set(clips, label=["<i>x", "y", "y"])
        audit.audit(manifest, out=tmp_path / "out", progress=False)
        return (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

    return make


def test_page(page):
    text = page()
    tags = Tags(text)
    assert tags.open == []
    images = [attributes for tag, attributes in tags.seen if tag == "img"]
    assert [image["alt"] for image in images] == [
        "Durations",
        "Levels",
        "Mean log-mel spectrum",
        "Labels",
    ]
    for image in images:
        data = image["src"].removeprefix("data:image/png;base64,")
        assert base64.b64decode(data).startswith(b"\x89PNG")
    assert not re.search(r"https?://|<script|<link|@import", text)
    assert "LogMelFilterbank(sample_rate=8000, mean=" in text
    # Names are not taken for HTML.
    assert "<i>x" not in text and "&lt;i&gt;x" in text
    assert "<b>" not in text and "as &lt;b&gt;a&amp;b.wav" in text


def test_without_matplotlib(page, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = page()
    assert Tags(text).open == []
    assert "<img" not in text
    assert "pip install &#x27;keras-asit[plots]&#x27;" in text


def test_long_lists_are_cut(monkeypatch, write_set, tmp_path):
    monkeypatch.setattr(pages, "SHOWN", 2)
    manifest = write_set({f"{i}.wav": None for i in range(5)})
    audit.audit(manifest, out=tmp_path / "out", progress=False)
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "1.wav" in text and "2.wav" not in text
    assert "and 3 more, in findings.csv" in text
