"""Files become few shards, the same on every machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mfx.artifacts import Shard, SourceFile
from mfx.artifacts.spans import Span
from mfx.ingest import shards
from mfx.ingest.shards import SHARDS

MB = 2**20
SIZE = 32 * MB


def group(files) -> tuple[Shard, ...]:
    return shards.group(files, [file.size for file in files], SIZE)


def files(sizes, folder="/data") -> list[SourceFile]:
    return [SourceFile(f"{folder}/day-{n:05d}.csv", f"{n}", size) for n, size in enumerate(sizes)]


def one_for_each(given) -> tuple[Shard, ...]:
    return tuple(Shard((file,)) for file in given)


sizes = st.lists(st.integers(0, 200 * MB) | st.integers(0, 2000), min_size=1, max_size=300)


@given(sizes)
def test_shards_are_the_files_in_order(sizes):
    given = files(sizes)
    found = group(given)
    assert [file for shard in found for file in shard.files] == given
    assert len(found) <= SHARDS
    assert all(shard.files for shard in found)
    assert group(files(sizes, "s3://bucket/other")) == tuple(
        Shard(
            tuple(
                file._replace(path=file.path.replace("/data", "s3://bucket/other"))
                for file in shard.files
            )
        )
        for shard in found
    )


@given(sizes)
def test_a_shard_of_several_files_is_bounded(sizes):
    found = group(files(sizes))
    if sum(sizes) < SIZE * SHARDS / 5:
        assert all(s.size < 5 * SIZE for s in found if len(s.files) > 1)


def test_ten_thousand_small_files_are_one_shard():
    assert len(group(files([100] * 10_000))) == 1


def test_a_large_file_is_a_shard_of_its_own():
    given = files([10, 40 * MB, 10, 10, 900 * MB])
    assert group(given) == (
        *one_for_each(given[:2]),
        Shard(tuple(given[2:4])),
        Shard((given[4],)),
    )


def test_more_large_files_than_shards_share_them():
    found = group(files([300 * MB] * 1000))
    assert 8 < len(found) <= SHARDS


def test_a_file_more_leaves_most_shards_as_they_are():
    given = files([5 * MB] * 400)
    for count in range(300, 400):
        before, after = (group(given[:n]) for n in (count, count + 1))
        assert before[:-1] == after[: len(before) - 1]
        # The window of days moves on: the first day goes, a new one comes.
        moved = set(group(given[count - 299 : count + 1]))
        known = set(group(given[count - 300 : count]))
        assert len(moved - known) <= len(moved) / 2


def test_spans_are_cut_by_themselves():
    """A window that moves on leaves the shards of the spans that stay as they are."""
    days = [
        [f._replace(span=Span(day)) for f in files(sizes, f"/data/{day}")]
        for day, sizes in enumerate([[5 * MB] * 40, [100], [40 * MB] * 30, [2 * MB] * 500])
    ]

    def cut(*spans):
        given = [file for span in spans for file in days[span]]
        return shards.group(given, [file.size for file in given], SIZE, window=3)

    before, after = cut(0, 1, 2), cut(1, 2, 3)
    assert all(len({file.span for file in shard.files}) == 1 for shard in (*before, *after))
    assert [s for s in before if s.files[0].span != Span(0)] == [
        s for s in after if s.files[0].span != Span(3)
    ]
    assert len(after) <= SHARDS
