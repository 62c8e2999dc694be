"""Numbers have the same format wherever people read them."""

from __future__ import annotations

import math

import pytest

from mfx import figures


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "-"),
        (0.93124, "0.9312"),
        (1.0, "1.0000"),
        (0, "0.0000"),
        (4931.0, "4,931"),
        (4931, "4,931"),
        (-3.0, "-3"),
        (-0.5, "-0.5000"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_a_count_is_whole_and_any_other_metric_has_four_digits(value, said):
    assert figures.metric(value) == said


def test_differences_have_a_sign():
    assert figures.difference(0.01204) == "+0.0120"
    assert figures.interval(-0.5, 0.25) == "[-0.5000, +0.2500]"
    assert figures.interval(None, None) == ""


def test_sizes_are_in_megabytes():
    assert figures.megabytes(1_234_567_890) == "1,234.6 MB"
