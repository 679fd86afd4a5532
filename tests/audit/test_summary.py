"""The report as people read it."""

import copy

import pytest

from keras_asit.audit.summary import advice, leak_lines, overview, summary

pytestmark = pytest.mark.backend_free

REPORT = {
    "source": "set/manifest.csv",
    "read_with": "root='set'",
    "needs_labels": False,
    "clips": 1200,
    "readable": 1199,
    "hours": 3.25,
    "kept": {"clips": 1190, "hours": 3.2},
    "seconds": {"0%": 0.5, "50%": 10.0, "100%": 12.0},
    "rates": {"44100": 1000, "8000": 199},
    "channels": {"1": 1100, "2": 90, "6": 5, "0": 4},
    "formats": {"FLAC PCM 16": 1199},
    "labels": {
        "classes": 2,
        "many_a_clip": True,
        "without": 3,
        "clips": {"a": 1000, "b": 500},
    },
    "divisions": {"fold": {"": 3, **{str(i): 171 for i in range(7)}}},
    "peak_dbfs": {"50%": -3.14},
    "rms_dbfs": {"50%": -20.0},
    "log_mel": {
        "sample_rate": 44100,
        "num_mel_bins": 128,
        "mean": -4.26774,
        "std": 4.569,
        "standard_error": 0.0123,
        "clips": 100,
        "of_clips": 1190,
        "frames": 99800,
    },
    "findings": {
        "missing": {"clips": 0, "dropped": 0, "first": []},
        "broken": {
            "clips": 1,
            "dropped": 1,
            "first": [{"path": "x" * 50 + "/y.wav", "detail": "is empty"}],
        },
        "clipped": {
            "clips": 1100,
            "dropped": 0,
            "first": [{"path": "a.wav", "detail": ""}, {"path": "b.wav", "detail": ""}],
        },
    },
    "leaks": [
        {"shared": "audio", "across": "fold", "groups": 0, "clips": 0},
        {"shared": "group", "across": "fold", "groups": 4, "clips": 1000},
    ],
}

TEXT = """\
set/manifest.csv

  clips       1,200, 1,199 of them readable
  hours       3.250
  durations   0.50 to 12.00 s, median 10.00 s
  rates       44,100 Hz: 1,000, 8,000 Hz: 199
  channels    mono: 1,100, stereo: 90, 6: 5, not known: 4
  formats     FLAC PCM 16
  labels      2 classes, 500 to 1,000 clips each, several a clip; 3 without
  fold        (none): 3, 0: 171, 1: 171, 2: 171, 3: 171, 4: 171, and 2 more
  level       medians: peak -3.1 dBFS, rms -20.0 dBFS
  log-mel     mean -4.2677, std 4.5690 (standard error of the mean 0.012)
              of 128 bins at 44,100 Hz, 100 of 1,190 clips, 99,800 frames

  finding         clips   dropped
  missing             -         -
  broken              1         1   ...xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx/y.wav
  clipped         1,100         -   a.wav, ...
  audio across fold: no leak
  group across fold: 4 in two or more, 1,000 clips

Written to out: report.html, report.json, findings.csv, dropped.csv, and
manifest.csv with 1,190 clips, 3.200 hours.
read_manifest('out/manifest.csv', root='set')

LogMelFilterbank(sample_rate=44100, mean=-4.2677, std=4.5690)"""


@pytest.fixture
def report():
    return copy.deepcopy(REPORT)


def test_whole_text(report):
    assert summary(report, "out") == TEXT
    assert max(map(len, TEXT.splitlines())) <= 80
    assert "Written" not in summary(report)


def test_how_the_cleaned_manifest_keeps_its_classes(report):
    report["needs_labels"] = True
    line = "read_manifest('out/manifest.csv', root='set', labels='out/labels.csv')"
    assert line in summary(report, "out")
    report["read_with"] = ""
    line = "read_manifest('out/manifest.csv', labels='out/labels.csv')"
    assert line in summary(report, "out")


def test_nothing_moves_the_cursor(report):
    odd = "\x1b[2J\x1b]0;pwned\x07"
    report.update(source=odd, formats={odd: 1199}, divisions={"fold": {odd: 1}})
    report["findings"]["broken"]["first"][0]["path"] = odd
    report["leaks"][0]["shared"] = odd
    text = summary(report, "out")
    assert all(map(str.isprintable, text.splitlines()))
    assert text.count("pwned") == 5


def test_equal_values_are_said_once(report):
    report["readable"] = 1200
    report["seconds"] = dict.fromkeys(["0%", "50%", "100%"], 1.0)
    report["labels"]["clips"] = {"a": 600, "b": 600}
    report["labels"].update(without=0, many_a_clip=False)
    report["log_mel"]["standard_error"] = 0.0
    lines = dict(overview(report))
    assert lines["clips"] == "1,200"
    assert lines["durations"] == "1.00 s each"
    assert lines["labels"] == "2 classes, 600 clips each"
    assert lines["log-mel"].startswith("mean -4.2677, std 4.5690\n")


def test_without_labels_folds_or_readable_clips(report):
    report["labels"] = {"classes": 0, "many_a_clip": False, "without": 9, "clips": {}}
    report.update(readable=0, log_mel=None, divisions={}, leaks=[])
    assert dict(overview(report)) == {
        "clips": "1,200, 0 of them readable",
        "labels": "none",
    }
    assert leak_lines(report) == [
        "no column fold or split of two values to leak across"
    ]
    assert "No clip" in advice(report)


def test_the_advice_is_code(report):
    from keras_asit.audio import LogMelFilterbank

    layer = eval(advice(report), {"LogMelFilterbank": LogMelFilterbank})
    assert (layer.sample_rate, layer.mean, layer.std) == (44100, -4.2677, 4.569)
