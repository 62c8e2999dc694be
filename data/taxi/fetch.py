"""Fetches the City of Chicago's real taxi trips into a CSV like the sample's.

    python data/taxi/fetch.py --since 2013-01-01 --until 2017-01-01 --limit 1000000

The rows come in pages, ordered by trip id. Ids are random, so the first rows of a period are a fair
sample of it. Each page is appended to OUTPUT.part; then OUTPUT.state records how much of the file
is complete. You can kill it at any time: the same command continues after the last recorded page.
"""

import argparse
import csv
import datetime
import fcntl
import gzip
import http.client
import io
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

# Our columns in the order of the sample, each with its name in the data portal and its type.
COLUMNS = {
    "pickup_community_area": ("pickup_community_area", "integer"),
    "fare": ("fare", "float"),
    "trip_start_month": ("trip_start_timestamp", "month"),
    "trip_start_hour": ("trip_start_timestamp", "hour"),
    "trip_start_day": ("trip_start_timestamp", "day"),
    "trip_start_timestamp": ("trip_start_timestamp", "seconds"),
    "pickup_latitude": ("pickup_centroid_latitude", "float"),
    "pickup_longitude": ("pickup_centroid_longitude", "float"),
    "dropoff_latitude": ("dropoff_centroid_latitude", "float"),
    "dropoff_longitude": ("dropoff_centroid_longitude", "float"),
    "trip_miles": ("trip_miles", "float"),
    "pickup_census_tract": ("pickup_census_tract", "integer"),
    "dropoff_census_tract": ("dropoff_census_tract", "integer"),
    "payment_type": ("payment_type", "text"),
    "company": ("company", "text"),
    "trip_seconds": ("trip_seconds", "integer"),
    "dropoff_community_area": ("dropoff_community_area", "integer"),
    "tips": ("tips", "float"),
}
RETRIED_STATUSES = (429, 500, 502, 503, 504)
LONGEST_PAUSE = 60.0


class FetchError(Exception):
    """An error in one line: what went wrong, where, and what to do."""


def local_time(value):
    """Reads the portal's local time as if it were UTC, as the sample does."""
    return datetime.datetime.fromisoformat(value).replace(tzinfo=datetime.timezone.utc)


CONVERTERS = {
    "text": str,
    "float": lambda value: str(float(value)),
    "integer": lambda value: str(int(float(value))),
    "seconds": lambda value: str(int(local_time(value).timestamp())),
    "month": lambda value: str(local_time(value).month),
    "hour": lambda value: str(local_time(value).hour),
    "day": lambda value: str(local_time(value).isoweekday() % 7 + 1),  # Sunday is day 1.
}


def convert(trip):
    """Turns one trip of the portal into a row of the CSV; missing values stay empty."""
    row = []
    for name, (source, kind) in COLUMNS.items():
        value = trip.get(source)
        try:
            row.append("" if value in (None, "") else CONVERTERS[kind](value))
        except (TypeError, ValueError, OverflowError):
            raise FetchError(
                f"trip {trip.get('trip_id')}: {source} is {value!r}, which gives no {name}; "
                "the portal's format has changed, adapt COLUMNS"
            ) from None
    return row


def query_url(options, after, size):
    """Returns the address of the page of `size` trips whose ids follow `after`."""
    where = []
    if options.since:
        where.append(f"trip_start_timestamp >= '{options.since}T00:00:00'")
    if options.until:
        where.append(f"trip_start_timestamp < '{options.until}T00:00:00'")
    if after:
        where.append("trip_id > '{}'".format(after.replace("'", "''")))
    sources = dict.fromkeys(source for source, _ in COLUMNS.values())
    query = {
        "$select": ",".join(["trip_id", *sources]),
        "$order": "trip_id",
        "$limit": size,
    }
    if where:
        query["$where"] = " AND ".join(where)
    return f"{options.base_url}?{urllib.parse.urlencode(query)}"


def fetch_page(options, after, size):
    """Returns a page's trips. Errors that may pass are tried again."""
    request = urllib.request.Request(query_url(options, after, size))
    request.add_header("Accept-Encoding", "gzip")
    if options.app_token:
        request.add_header("X-App-Token", options.app_token)
    attempts = options.retries + 1
    for attempt in range(attempts):
        pause = min(LONGEST_PAUSE, options.pause * 2**attempt)
        try:
            with urllib.request.urlopen(request, timeout=options.timeout) as response:
                body = response.read()
                if response.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
            trips = json.loads(body)
            break
        except urllib.error.HTTPError as error:
            problem = f"HTTP {error.code} {error.reason}"
            if error.code not in RETRIED_STATUSES:
                raise FetchError(
                    f"{options.base_url}: {problem}; check --base-url, the dates and --app-token"
                ) from None
            wanted = error.headers.get("Retry-After", "")
            if wanted.isdigit():
                pause = min(LONGEST_PAUSE, float(wanted))
        except (OSError, EOFError, ValueError, zlib.error, http.client.HTTPException) as error:
            # No connection, a timeout, or half an answer.
            problem = str(getattr(error, "reason", error)) or type(error).__name__
        if attempt + 1 < attempts:
            say(f"{problem}; attempt {attempt + 2} of {attempts} in {pause:g} s")
            time.sleep(pause)
    else:
        raise FetchError(
            f"{options.base_url}: {problem} (attempt {attempts} of {attempts}); "
            "check the network and --base-url, then run the same command to continue"
        )
    if not isinstance(trips, list) or not all(
        isinstance(trip, dict) and trip.get("trip_id") for trip in trips
    ):
        raise FetchError(f"{options.base_url}: not a list of taxi trips; check --base-url")
    if any(trip["trip_id"] == after for trip in trips):
        raise FetchError(f"{options.base_url}: ignores $where, so it cannot be paged")
    return trips


def say(message):
    """Writes a line of progress."""
    print(f"fetch.py: {message}", file=sys.stderr, flush=True)


def sync_folder(folder):
    """Makes the renames in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_state(path, state):
    """Writes the state durably, as a whole or not at all."""
    new = path.with_name(path.name + ".part")
    with new.open("w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_folder(path.parent)


def load_state(path, query, output):
    """Returns the state of an earlier run of the same command, or a new state."""
    new = {"query": query, "after": "", "rows": 0, "bytes": 0, "done": False}
    if not path.exists():
        return new
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        same = state["query"] == query and state.keys() == new.keys()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FetchError(f"{path}: not a state of fetch.py; remove it to start again") from None
    if not same:
        raise FetchError(
            f"{path}: belongs to a run with other options ({json.dumps(state['query'])}); "
            f"use the same ones, or remove it and {output.name} to start again"
        )
    return state


def fetch(options):
    """Fetches all pages that an earlier run has not fetched, and completes the output."""
    output = options.output
    part, state_path = (output.with_name(output.name + end) for end in (".part", ".state"))
    query = {name: getattr(options, name) for name in ("base_url", "since", "until", "limit")}
    if output.exists() and not state_path.exists():
        raise FetchError(f"{output}: is there already; remove it or choose another --output")
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FetchError(f"{part}: another run is writing it; wait for its end") from None
        state = load_state(state_path, query, output)
        size = part.stat().st_size
        if state["done"] and size == 0 and output.exists():
            part.unlink()
            return say(f"{output} is complete: {state['rows']:,} rows")
        if size < state["bytes"]:
            say(f"{part} is shorter than recorded: starting again")
            state.update(after="", rows=0, bytes=0, done=False)
        elif state["rows"]:
            say(f"continuing after {state['rows']:,} rows")
        # Bytes after the recorded ones belong to a page that a kill cut off: it is fetched again.
        file.truncate(state["bytes"])
        while not state["done"]:
            rest = options.page_size if options.limit is None else options.limit - state["rows"]
            trips = (
                fetch_page(options, state["after"], min(options.page_size, rest)) if rest else []
            )
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if not state["bytes"]:
                writer.writerow(COLUMNS)
            writer.writerows(map(convert, trips))
            page = text.getvalue().encode()
            # First write the page, then the state that counts it, never the other way round.
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
            state["rows"] += len(trips)
            state["bytes"] += len(page)
            # A short page is not the end: the portal may give fewer rows than asked for.
            state["done"] = not trips
            state["after"] = trips[-1]["trip_id"] if trips else state["after"]
            save_state(state_path, state)
            say(f"{state['rows']:,} rows, {state['bytes'] / 1e6:,.1f} MB")
        os.replace(part, output)
        sync_folder(output.parent)
    say(f"{output} is complete: {state['rows']:,} rows")
    return None


def date(value):
    """Reads a date such as 2013-01-31."""
    return datetime.date.fromisoformat(value).isoformat()


def positive(value):
    """Reads a whole number above 0."""
    if int(value) < 1:
        raise ValueError
    return int(value)


def main():
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", type=Path, default=Path(__file__).with_name("full.csv"))
    add("--since", type=date, help="first day, such as 2013-01-01")
    add("--until", type=date, help="the day after the last")
    add("--limit", type=positive, help="stop after so many rows")
    add("--page-size", type=positive, default=50000, help="rows per request")
    add("--app-token", default=os.environ.get("SOCRATA_APP_TOKEN"), help="for a higher rate limit")
    add("--base-url", default="https://data.cityofchicago.org/resource/wrvz-psew.json")
    add("--retries", type=positive, default=7, help="further attempts at a page")
    add("--pause", type=float, default=1.0, help="seconds before the first, doubled each time")
    add("--timeout", type=float, default=120.0, help="seconds to wait for the portal")
    options = parser.parse_args()
    try:
        if not options.base_url.startswith(("http://", "https://")):
            raise FetchError(f"--base-url {options.base_url}: must start with http:// or https://")
        fetch(options)
    except FetchError as error:
        sys.exit(f"fetch.py: error: {error}")
    except OSError as error:
        sys.exit(f"fetch.py: error: {error}; free or allow the place, then run the same command")
    except KeyboardInterrupt:
        sys.exit("fetch.py: stopped; run the same command to continue")


if __name__ == "__main__":
    main()
