"""Tests of data/taxi: the committed sample, and the fetcher against a local portal."""

import csv
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

import pandas as pd
import pytest
from helpers.flows import ROOT

FOLDER = ROOT / "data" / "taxi"
SAMPLE = FOLDER / "trips.csv"
REAL = ROOT.parent / "shared" / "data" / "taxi" / "trips.csv"
INTEGERS = [
    "pickup_community_area",
    "trip_start_month",
    "trip_start_hour",
    "trip_start_day",
    "trip_start_timestamp",
    "pickup_census_tract",
    "dropoff_census_tract",
    "trip_seconds",
    "dropoff_community_area",
]
TEXTS = ["payment_type", "company"]


# --- The sample ---


def read(path):
    """Reads the text of a CSV's fields as they are."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def sample():
    """The committed sample, as text."""
    return read(SAMPLE)


@pytest.fixture(scope="module")
def real():
    """The real file, as text."""
    if not REAL.exists():
        pytest.skip("the folder ../shared/data with the real taxi file is absent")
    return read(REAL)


def make_sample(path, *options):
    """Runs the script."""
    script = [sys.executable, FOLDER / "make_sample.py", "--output", path, *options]
    subprocess.run(script, check=True)
    return path.read_bytes()


def labels(trips):
    """Returns the usual task's label."""
    return trips.tips.astype(float) > 0.2 * trips.fare.astype(float)


def test_sample_is_what_the_script_makes(tmp_path):
    assert make_sample(tmp_path / "trips.csv") == SAMPLE.read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "trips.csv"]


def test_seed_and_rows_change_the_sample(tmp_path):
    first = make_sample(tmp_path / "a.csv", "--rows", "50", "--seed", "1")
    assert first == make_sample(tmp_path / "b.csv", "--rows", "50", "--seed", "1")
    assert first != make_sample(tmp_path / "c.csv", "--rows", "50", "--seed", "2")
    assert len(first.splitlines()) == 51


def test_sample_is_small_and_consistent(sample):
    assert SAMPLE.stat().st_size < 2.5e6
    assert len(sample) == 15000
    start = pd.to_datetime(sample.trip_start_timestamp.astype(int), unit="s")
    assert (start.dt.month == sample.trip_start_month.astype(int)).all()
    assert (start.dt.hour == sample.trip_start_hour.astype(int)).all()
    assert ((start.dt.day_of_week + 1) % 7 + 1 == sample.trip_start_day.astype(int)).all()
    assert (start.dt.minute % 15 == 0).all()
    tracts = sample[(sample.dropoff_census_tract != "") & (sample.dropoff_community_area != "")]
    area = tracts.dropoff_census_tract.str[5:7].astype(int)
    assert (area == tracts.dropoff_community_area.astype(int)).all()


def test_text_looks_as_in_the_conventions(sample):
    for name in sample:
        values = sample[name][sample[name] != ""]
        if name in INTEGERS:
            assert values.str.fullmatch(r"\d+").all(), name
        elif name not in TEXTS:
            assert values.str.fullmatch(r"-?\d+\.\d+|0").all(), name
            assert not values.str.fullmatch(r".*\.\d+0").any(), name  # 12.5, never 12.50.
    assert (sample.fare == "0").any()


def test_columns_and_missing_shares_are_the_real_ones(sample, real):
    assert list(sample) == list(real)
    gap = ((sample == "").mean() - (real == "").mean()).abs()
    assert gap.max() < 0.015, gap
    assert ((sample == "").any() == (real == "").any()).all()
    for name in real:
        pattern = r"\d+" if name in INTEGERS else r"-?\d+\.\d+|0"
        if name not in TEXTS:
            assert real[name][real[name] != ""].str.fullmatch(pattern).all(), name


def test_label_can_be_learnt_as_from_the_real_file(sample, real):
    assert abs(labels(sample).mean() - labels(real).mean()) < 0.01
    for payment in ("Credit Card", "Cash"):
        shares = [labels(trips)[trips.payment_type == payment].mean() for trips in (sample, real)]
        assert abs(shares[0] - shares[1]) < 0.02, payment
    # A tip of 2 is enough below a fare of 10, not above.
    for low, high in ((5, 10), (10, 15), (20, 40)):
        shares = []
        for trips in (sample, real):
            fare = trips.fare.astype(float)
            chosen = (fare > low) & (fare <= high) & (trips.payment_type == "Credit Card")
            shares.append(labels(trips)[chosen].mean())
        assert abs(shares[0] - shares[1]) < 0.06, (low, high)


def test_categories_are_the_real_ones(sample, real):
    assert set(sample.payment_type) == set(real.payment_type)
    assert sample.company.nunique() == real.company.nunique() == 62  # 61 and the missing one.
    for name in ("payment_type", "company", "pickup_community_area", "trip_start_hour"):
        ours, theirs = (trips[name].value_counts(normalize=True) for trips in (sample, real))
        common = theirs[theirs > 0.001]
        assert (ours.reindex(common.index).fillna(0) - common).abs().max() < 0.02, name
    ours, theirs = (set(trips.dropoff_community_area) for trips in (sample, real))
    assert ours <= theirs


def test_numbers_are_distributed_as_in_the_real_file(sample, real):
    for name in ("fare", "trip_seconds"):
        ours, theirs = (
            pd.to_numeric(trips[name]).quantile([0.25, 0.5, 0.75, 0.95]) for trips in (sample, real)
        )
        assert (ours / theirs).between(0.8, 1.2).all(), name
    for trips in (sample, real):
        numbers = trips[["fare", "trip_seconds", "trip_miles"]].apply(pd.to_numeric)
        ranks = numbers.corr("spearman").fare
        assert ranks.trip_seconds > 0.85 and ranks.trip_miles > 0.4


# --- The fetcher ---


def make_trips(count):
    """Makes up trips as the portal gives them: numbers as text, nothing where missing."""
    trips = []
    for number in range(count):
        trip = {
            "trip_id": hashlib.sha1(str(number).encode()).hexdigest(),
            "trip_start_timestamp": f"2014-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
            f"T{number % 24:02d}:{number % 4 * 15:02d}:00.000",
            "trip_seconds": str(number * 60),
            "trip_miles": str(number / 10),
            "dropoff_census_tract": "17031081500",
            "pickup_community_area": str(number % 77 + 1),
            "fare": str(3 + number / 4),
            "tips": "0",
            "payment_type": "Cash",
            "company": f'Cab "{number % 5}", Inc.',
            "pickup_centroid_latitude": "41.899602111",
        }
        if number % 3 == 0:
            del trip["company"], trip["trip_seconds"]
        trips.append(trip)
    return sorted(trips, key=lambda trip: trip["trip_id"])


class Portal(http.server.ThreadingHTTPServer):
    """A portal of `trips`, with answers to give first and a request never to answer."""

    daemon_threads = True

    def __init__(self, trips):
        super().__init__(("127.0.0.1", 0), Handler)
        self.trips = trips
        self.queries = []
        self.tokens = []
        self.failures = []  # Answers to give before the right ones: (status, headers, body).
        self.most = 1000  # The most rows per page, however many were asked for.
        self.hang_at = None
        self.hanging = threading.Event()
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/resource/trips.json"

    def select(self, query):
        """Answers a query in the portal's language."""
        assert query["$order"] == "trip_id"
        names = query["$select"].split(",")
        found = self.trips
        tests = {">": str.__gt__, ">=": str.__ge__, "<": str.__lt__}
        for condition in filter(None, query.get("$where", "").split(" AND ")):
            name, test, value = re.fullmatch(r"(\w+) (>|>=|<) '(.*)'", condition).groups()
            value = value.replace("''", "'")
            found = [trip for trip in found if tests[test](trip.get(name, ""), value)]
        found = found[: min(int(query["$limit"]), self.most)]
        return [{name: trip[name] for name in names if name in trip} for trip in found]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for `Portal`."""

    def do_GET(self):
        """Answers a page."""
        portal = self.server
        path, _, query = self.path.partition("?")
        portal.queries.append(dict(urllib.parse.parse_qsl(query)))
        portal.tokens.append(self.headers.get("X-App-Token"))
        if len(portal.queries) == portal.hang_at:
            portal.hanging.set()
            portal.closing.wait(30)
            return
        if path != "/resource/trips.json":
            self.answer(404, {}, b"{}")
        elif portal.failures:
            self.answer(*portal.failures.pop(0))
        else:
            body = json.dumps(portal.select(portal.queries[-1])).encode()
            self.answer(200, {"Content-Encoding": "gzip"}, gzip.compress(body, 1))

    def answer(self, status, headers, body):
        """Sends an answer."""
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Stays silent."""


@pytest.fixture
def portal():
    """A portal of 300 trips in a thread."""
    server = Portal(make_trips(300))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


def start(url, output, *options, kill_at=None):
    """Starts the fetcher; `kill_at` kills it before its n-th call of fsync or replace."""
    command = [sys.executable, "-c", RUN, str(kill_at or 0), str(FOLDER / "fetch.py")]
    command += ["--base-url", url, "--output", output, "--page-size", "70", "--pause", "0.01"]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment.pop("SOCRATA_APP_TOKEN", None)
    return subprocess.Popen(
        [*map(str, command), *options], env=environment, stderr=subprocess.PIPE, text=True
    )


# The process kills itself by kill -9: from outside the right moment could not be hit.
RUN = """
import os, runpy, signal, sys
left = int(sys.argv[1])
def counted(function):
    def call(*arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call
os.fsync, os.replace = counted(os.fsync), counted(os.replace)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*arguments, **options):
    """Runs the fetcher to its end; returns the exit code and the lines it wrote."""
    process = start(*arguments, **options)
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors.splitlines()


@pytest.fixture
def expected(portal, tmp_path):
    """The bytes of an undisturbed run."""
    output = tmp_path / "expected.csv"
    assert run(portal.url, output)[0] == 0
    portal.queries.clear()
    return output.read_bytes()


def test_fetches_all_rows_in_pages(portal, tmp_path):
    output = tmp_path / "full.csv"
    code, lines = run(portal.url, output)
    assert code == 0, lines
    assert lines[-1] == f"fetch.py: {output} is complete: 300 rows"
    assert [query["$limit"] for query in portal.queries] == ["70"] * 6  # The last one is empty.
    rows = list(csv.DictReader(io.StringIO(output.read_text())))
    assert list(rows[0]) == list(read(SAMPLE))
    wanted = [str(float(trip["fare"])) for trip in portal.trips]
    assert [row["fare"] for row in rows] == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.csv", "full.csv.state"]
    # A second call has nothing to do.
    assert run(portal.url, output)[0] == 0
    assert len(portal.queries) == 6


def test_maps_a_row_worked_out_by_hand(portal, tmp_path):
    portal.trips = [
        {
            "trip_id": "it's",
            "trip_start_timestamp": "2014-05-16T19:45:00.000",  # A Friday.
            "trip_seconds": "540",
            "trip_miles": "0",
            "dropoff_census_tract": "17031081500",
            "pickup_community_area": "8",
            "fare": "12.45",
            "tips": "2",
            "payment_type": "Credit Card",
            "company": "Blue, Inc.",
            "pickup_centroid_latitude": "41.899602111",
            "pickup_centroid_longitude": "-87.633308037",
        }
    ]
    output = tmp_path / "full.csv"
    assert run(portal.url, output)[0] == 0
    row = output.read_text().splitlines()[1]
    start = "8,12.45,5,19,6,1400269500,41.899602111,-87.633308037,,,0.0,,17031081500,"
    assert row == start + 'Credit Card,"Blue, Inc.",540,,2.0'
    assert portal.queries[1]["$where"] == "trip_id > 'it''s'"


def test_period_limit_and_token(portal, tmp_path):
    output = tmp_path / "full.csv"
    options = ["--since", "2014-03-01", "--until", "2014-05-01", "--app-token", "abc"]
    assert run(portal.url, output, *options)[0] == 0
    assert set(read(output).trip_start_month) == {"3", "4"}
    assert len(read(output)) == 50
    assert set(portal.tokens) == {"abc"}
    assert run(portal.url, tmp_path / "few.csv", "--limit", "100")[0] == 0
    assert len(read(tmp_path / "few.csv")) == 100
    assert "abc" not in (tmp_path / "full.csv.state").read_text()


def test_a_short_page_is_not_the_end(portal, expected, tmp_path):
    portal.most = 33
    assert run(portal.url, tmp_path / "full.csv")[0] == 0
    assert (tmp_path / "full.csv").read_bytes() == expected


@pytest.mark.parametrize("request_number", [1, 3, 6])
def test_goes_on_after_a_kill_while_it_waits(portal, expected, tmp_path, request_number):
    output = tmp_path / "full.csv"
    portal.hang_at = request_number
    process = start(portal.url, output)
    assert portal.hanging.wait(10)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()
    assert run(portal.url, output)[0] == 0
    assert output.read_bytes() == expected
    # Only the interrupted page was fetched again.
    assert len(portal.queries) == 7


def test_goes_on_after_a_kill_at_any_step(portal, expected, tmp_path):
    for kill_at in range(1, 100):
        output = tmp_path / f"{kill_at}.csv"
        # Three pages and the empty one are enough, and fast.
        code, lines = run(portal.url, output, "--page-size", "149", kill_at=kill_at)
        if code == 0:
            break
        assert code == -signal.SIGKILL, lines
        code, lines = run(portal.url, output, "--page-size", "149")
        assert code == 0, lines
        assert output.read_bytes() == expected, kill_at
    assert kill_at > 4 * 4  # A page has four steps, the end two.


def test_drops_a_page_which_was_cut_short(portal, expected, tmp_path):
    output = tmp_path / "full.csv"
    portal.hang_at = 3
    process = start(portal.url, output)
    assert portal.hanging.wait(10)
    process.kill()
    process.communicate()
    with (tmp_path / "full.csv.part").open("ab") as file:
        file.write(b"8,12.45,5,1")
    assert run(portal.url, output)[0] == 0
    assert output.read_bytes() == expected


def test_tries_again_after_passing_failures(portal, expected, tmp_path):
    portal.failures = [
        (503, {}, b""),
        (429, {"Retry-After": "0"}, b"slow down"),
        (200, {"Content-Length": 100}, b'[{"trip_id": "a"'),  # The connection breaks.
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08 not gzip at all, but long enough"),
        (200, {}, b"<html>"),
    ]
    portal.hang_at = 1
    code, lines = run(portal.url, tmp_path / "full.csv", "--timeout", "0.3")
    assert code == 0, lines
    assert (tmp_path / "full.csv").read_bytes() == expected
    assert "timed out; attempt 2 of 8" in lines[0]
    assert "HTTP 503 Service Unavailable; attempt 3 of 8" in lines[1]
    assert "HTTP 429 Too Many Requests; attempt 4 of 8 in 0 s" in lines[2]
    assert sum("attempt" in line for line in lines) == 6


def test_gives_up_and_can_go_on_later(portal, expected, tmp_path):
    output = tmp_path / "full.csv"
    portal.failures = [(503, {}, b"")] * 3
    code, lines = run(portal.url, output, "--retries", "2")
    assert code == 1
    assert lines[-1] == (
        f"fetch.py: error: {portal.url}: HTTP 503 Service Unavailable (attempt 3 of 3); "
        "check the network and --base-url, then run the same command to continue"
    )
    assert run(portal.url, output)[0] == 0
    assert output.read_bytes() == expected


def test_errors_are_one_line(portal, tmp_path):
    def error(url, name, *options):
        code, lines = run(url, tmp_path / name, *options)
        assert code == 1
        assert not any("Traceback" in line for line in lines)
        assert [line.startswith("fetch.py: error: ") for line in lines].index(True) == len(
            lines
        ) - 1
        return lines[-1]

    assert "HTTP 404 Not Found; check --base-url" in error(portal.url + "x", "a.csv")
    refused = error("http://127.0.0.1:9/", "b.csv", "--retries", "1")
    assert "Connection refused (attempt 2 of 2); check the network" in refused
    assert "must start with http" in error("file:///etc", "c.csv")
    assert "No such file or directory" in error(portal.url, "no/folder.csv")
    portal.failures = [(200, {}, b'{"message": "hello"}')]
    assert "not a list of taxi trips" in error(portal.url, "d.csv")
    portal.trips = [{"trip_id": "a", "fare": "cheap"}]
    assert "trip a: fare is 'cheap', which gives no fare" in error(portal.url, "e.csv")
    (tmp_path / "f.csv").write_text("mine")
    assert "is there already" in error(portal.url, "f.csv")
    assert (tmp_path / "f.csv").read_text() == "mine"
    portal.trips = []
    assert run(portal.url, tmp_path / "g.csv")[0] == 0
    assert "belongs to a run with other options" in error(portal.url, "g.csv", "--limit", "5")


def test_two_runs_do_not_mix(portal, expected, tmp_path):
    output = tmp_path / "full.csv"
    portal.hang_at = 2
    first = start(portal.url, output)
    assert portal.hanging.wait(10)
    code, lines = run(portal.url, output)
    assert code == 1 and "another run is writing it" in lines[-1]
    first.kill()
    first.communicate()
    deadline = time.monotonic() + 5
    while run(portal.url, output)[0] and time.monotonic() < deadline:
        pass
    assert output.read_bytes() == expected
