"""Which spans and versions are read: the rules of TFX's ExampleGen, worked out by hand."""

from __future__ import annotations

import pytest
from helpers.boxes import BOXES

from mfx.config.spans import Asked
from mfx.errors import MfxError
from mfx.ingest import finding


@pytest.fixture
def place(tmp_path):
    """Puts files into a folder; gives a function that finds."""

    def put(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("n\n1\n")

        def find(*paths, **asked):
            found = finding.find([f"{tmp_path}/{path}" for path in paths], asked=Asked(**asked))
            return [(file.address.removeprefix(f"{tmp_path}/"), str(file.span)) for file in found]

        return find

    return put


TABLE = """
latest span         | span01/a span02/a    | span{SPAN}/*     |          | span02/a=2
by number           | span9/a span10/a     | span{SPAN}/*     |          | span10/a=10
width               | span001/a span010/a  | span{SPAN:3}/*   |          | span010/a=10
latest version      | 1/v2 2/v1 2/v10      | {SPAN}/v{VERSION} |          | 2/v10=2 (version 10)
date                | 2019-12-31 2020-01-01 | {YYYY}-{MM}-{DD} |          | 2020-01-01=2020-01-01
date without marks  | 20200101 20191231    | {YYYY}{MM}{DD}   |          | 20200101=2020-01-01
one span            | 01/a 02/a            | {SPAN:2}/*       | span=1   | 01/a=1
one day             | 20200101 20191231    | {YYYY}{MM}{DD}   | span=18261 | 20191231=2019-12-31
no files in it      | 1/a.csv 2/notes.txt  | {SPAN}/*.csv     |          | 1/a.csv=1
version in the path | 1/v1/a 1/v2/a        | {SPAN}/v1/*      |          | 1/v1/a=1
its own version | 1/3 1/2 2/1 | {SPAN}/{VERSION} | window=2 | 1/3=1 (version 3), 2/1=2 (version 1)
beside each other   | 0102 0101            | {SPAN:2}{VERSION:2} |          | 0102=1 (version 2)
any depth           | x/y/t-7 x/t-8        | **/t-{SPAN}      | window=2 | x/y/t-7=7, x/t-8=8
wildcards           | a12.csv b3.csv       | *{SPAN}*.csv     |          | a12.csv=12
all below           | 7/b/c.csv 7/a.csv    | {SPAN}/**        |          | 7/a.csv=7, 7/b/c.csv=7
brackets            | a-1 b-2 c-3          | [!c]-{SPAN}      |          | b-2=2
a date in folders   | 2024-02/29 2024-02/28 | {YYYY}-{MM}/{DD} |          | 2024-02/29=2024-02-29
the first spans     | 4 5                  | {SPAN}           | window=7 | 4=4, 5=5
up to a span        | 4 5 6 7              | {SPAN}           | window=2 span=6 | 5=5, 6=6
by their numbers    | 1 4 6                | {SPAN}           | window=3 missing=skip | 4=4, 6=6
"""
"""Files, a path, what is asked for, and what is read with its spans. The first nine are cases of
TFX's `utils_test.py` in our names, the last is its `RollingRange`."""


def _cases():
    for line in TABLE.strip().splitlines():
        name, *cells = (cell.strip() for cell in line.split("|"))
        yield pytest.param(*cells, id=name)


@pytest.mark.parametrize(("names", "path", "asked", "expected"), _cases())
def test_what_is_read(place, names, path, asked, expected):
    pairs = [one.split("=") for one in asked.split()]
    given = {key: value if key == "missing" else int(value) for key, value in pairs}
    assert ", ".join("=".join(file) for file in place(*names.split())(path, **given)) == expected


def test_a_place_in_the_last_folder_does_not_read_the_folder(place):
    find = place("1/a.csv")
    with pytest.raises(MfxError, match=r"folders, such as 1, do not count: end it with /\* or"):
        find("{SPAN}")


SAID = {
    "no such span": (
        ("1.csv", "2.csv", "3.csv", "9.csv"), "{SPAN}.csv", {"span": 5},
        "/{SPAN}.csv: no span 5; there are 1 to 3, 9",
    ),
    "missing in the window": (
        ("2020-01-01.csv", "2020-01-04.csv"), "{YYYY}-{MM}-{DD}.csv", {"window": 3},
        "/{YYYY}-{MM}-{DD}.csv: no span 2020-01-02 to 2020-01-03 in the window of 3 up to "
        "2020-01-04; there are 2020-01-01, 2020-01-04",
    ),
    "not digits": (("1.csv", "old.csv"), "{SPAN}.csv", {}, "/old.csv: expected digits at {SPAN}"),
    "other width": (
        ("001/v01/a.csv", "1/v01/a.csv"), "{SPAN:3}/v{VERSION:2}/*", {},
        "/1/v01/a.csv: expected 3 digits at {SPAN:3} and 2 digits at {VERSION:2}",
    ),
    "month 13": (
        ("2020-13-01.csv",), "{YYYY}-{MM}-{DD}.csv", {}, "/2020-13-01.csv: there is no month 13",
    ),
    "February 30": (
        ("20200230.csv",), "{YYYY}{MM}{DD}.csv", {},
        "/20200230.csv: there is no day 30 in month 2 of 2020",
    ),
    "two ways of writing": (
        ("01.csv", "1.csv"), "{SPAN}.csv", {},
        "/1.csv and ROOT/01.csv: the same span, written in two ways",
    ),
    "two ways of a version": (
        ("1/v01/a.csv", "1/v1/a.csv"), "{SPAN}/v{VERSION}/*", {},
        "/1/v1/a.csv and ROOT/1/v01/a.csv: the same span, written in two ways",
    ),
    "nothing": (("a.txt",), "{SPAN}.csv", {},
        "/{SPAN}.csv: no input file found (other files: a.txt)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_what_cannot_be_read_is_one_line(place, tmp_path, case):
    names, path, asked, expected = SAID[case]
    with pytest.raises(MfxError) as caught:
        place(*names)(path, **asked)
    assert caught.value.what == f"{tmp_path}{expected.replace('ROOT', str(tmp_path))}"


def test_the_two_ways_of_an_old_span_do_not_matter(place):
    assert place("01.csv", "1.csv", "2.csv")("{SPAN}.csv") == [("2.csv", "2")]


def test_all_paths_have_the_same_spans_and_versions(place, tmp_path):
    """TFX: "Latest span should be the same for each split"."""
    names = ("a/1-2.csv", "a/2-1.csv", "b/1-2.csv", "b/1-1.csv", "b/2-1.csv")
    find = place(*names)
    paths = "b/{SPAN}-{VERSION}.csv", "a/{SPAN}-{VERSION}.csv"
    assert [name for name, _ in find(*paths, window=2)] == [
        *("b/1-2.csv", "a/1-2.csv", "b/2-1.csv", "a/2-1.csv")
    ]
    find = place("b/2-2.csv", "b/3-1.csv")
    with pytest.raises(MfxError) as caught:
        find(*paths, span=2)
    assert caught.value.what == (
        f"{tmp_path}/{paths[1]}: the latest version of span 2 is 1, but 2 at {tmp_path}/{paths[0]}"
    )
    with pytest.raises(MfxError) as caught:
        find(*paths)
    assert caught.value.what == (
        f"{tmp_path}/{paths[1]}: no span 3, which {tmp_path}/{paths[0]} has"
    )


@pytest.mark.parametrize("name", [name for name in BOXES if name != "http"])
def test_it_is_the_same_on_every_storage(request, name):
    box = BOXES[name](request)
    for path in ("d/2024-01-30/v1/a.csv", "d/2024-01-31/v1/a.csv", "d/2024-01-31/v2/a.csv"):
        box.put(path, b"n\n1\n")
    found = finding.find([f"{box.place}/d/{{YYYY}}-{{MM}}-{{DD}}/v{{VERSION}}/*"])
    assert [file.address for file in found] == [f"{box.place}/d/2024-01-31/v2/a.csv"]
    assert str(found[0].span) == "2024-01-31 (version 2)"
    assert found[0].below == "2024-01-31/v2/a.csv"


def test_nothing_can_be_listed_at_https():
    with pytest.raises(MfxError, match="nothing can be listed at https://"):
        finding.find(["https://host/day-{SPAN}.csv"])
