"""Spans in words, and the rows of each."""

from __future__ import annotations

from mfx.artifacts.spans import Span, grouped, in_words


def test_spans_in_words():
    assert in_words([]) == in_words([None]) == ""
    assert in_words([Span(7)]) == "7"
    assert in_words([Span(7), Span(8), Span(10)]) == "7 to 8, 10"
    assert in_words([Span(7, 1), Span(8, 1), Span(9, 2)]) == "7 to 8 (version 1), 9 (version 2)"
    assert (
        in_words([Span(18261, None, True), Span(18262, None, True)]) == "2019-12-31 to 2020-01-01"
    )
    assert str(Span(10**12, None, True)) == "1000000000000"


def test_rows_of_each_span():
    spans = [Span(1), Span(1), Span(2)]
    rows = [{"train": 2, "eval": 1}, {"train": 3, "eval": 0}, {"train": 1, "eval": 1}]
    hashes = [{"train": f"t{n}", "eval": f"e{n}"} for n in range(3)]
    found = grouped(spans, rows, hashes, lambda parts: "+".join(f"{n}{h}" for n, h in parts))
    assert [(part.span.number, part.shards, part.rows) for part in found] == [
        (1, 2, {"train": 5, "eval": 1}),
        (2, 1, {"train": 1, "eval": 1}),
    ]
    assert [part.hashes["train"] for part in found] == ["2t0+3t1", "1t2"]
    assert grouped([None, None, None], rows, hashes, str) == ()
