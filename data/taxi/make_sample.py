"""Writes a synthetic sample of Chicago taxi trips: every row is invented.

The file has the columns, the way of writing and the statistics of the real data set (missing
values, categories, the label `tips > 0.2 * fare`). No real row is read or copied: all that is known
of the real data are the constants below.

    python data/taxi/make_sample.py [--rows 15000] [--seed 2013] [--output data/taxi/trips.csv]
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np

# Weights: how many trips the real data set has.
YEARS = {2013: 4388, 2014: 5145, 2015: 4636, 2016: 833}
MONTHS = [1079, 1147, 1275, 1293, 1311, 1302, 1255, 1308, 1217, 1353, 1215, 1247]
DAYS = [1957, 1948, 1943, 2016, 2201, 2502, 2435]  # Sunday is day 1.
HOURS = [602, 544, 419, 292, 197, 143, 193, 302, 530, 664, 687, 619]
HOURS += [745, 698, 736, 722, 763, 829, 941, 1010, 966, 838, 837, 725]
SLOWNESS = [0.8] * 4 + [0.7, 0.6, 0.7, 0.85] + [1.0] * 5 + [1.05] * 4 + [1.15] * 2 + [1.0] * 3
SLOWNESS += [0.85] * 2  # Minutes per mile by hour, relative to midday.

# Area: latitude, longitude, pickups, dropoffs, census tracts, share of trips with a hidden tract.
BUSY_AREAS = {
    8: (41.896, -87.628, 4908, 4307, 20, 0.10),
    32: (41.881, -87.627, 3303, 2736, 5, 0.07),
    28: (41.880, -87.651, 1284, 1450, 12, 0.17),
    6: (41.943, -87.654, 1180, 1107, 34, 0.44),
    7: (41.922, -87.646, 893, 1036, 20, 0.29),
    24: (41.901, -87.671, 598, 753, 24, 0.45),
    33: (41.857, -87.619, 309, 411, 3, 0.14),
    76: (41.979, -87.905, 895, 516, 1, 0.22),
    56: (41.788, -87.755, 255, 181, 1, 0.22),
    3: (41.965, -87.656, 269, 301, 12, 0.59),
    22: (41.922, -87.694, 175, 293, 16, 0.63),
}
# The others, each as "area latitude longitude pickups dropoffs".
QUIET_AREAS = """\
1 42.009 -87.670 71 104,2 42.001 -87.695 57 70,4 41.974 -87.687 57 116,5 41.948 -87.683 111 157,
9 42.008 -87.814 1 4,10 41.985 -87.805 12 18,11 41.980 -87.771 12 17,12 41.994 -87.758 8 12,
13 41.984 -87.724 7 17,14 41.968 -87.721 49 55,15 41.952 -87.761 7 18,16 41.954 -87.723 56 90,
17 41.947 -87.806 3 7,18 41.929 -87.798 1 1,19 41.927 -87.766 7 16,20 41.924 -87.735 1 8,
21 41.939 -87.711 51 71,23 41.900 -87.721 7 23,25 41.891 -87.756 9 10,26 41.879 -87.730 1 3,
27 41.879 -87.706 3 5,29 41.860 -87.715 5 7,30 41.839 -87.714 4 6,31 41.851 -87.666 17 52,
34 41.843 -87.634 20 48,35 41.836 -87.619 21 35,36 41.824 -87.602 2 4,37 41.809 -87.632 0 3,
38 41.813 -87.618 1 8,39 41.809 -87.595 23 23,40 41.792 -87.618 1 4,41 41.793 -87.592 71 84,
42 41.779 -87.595 8 14,43 41.762 -87.573 7 12,44 41.740 -87.616 2 3,45 41.744 -87.586 1 0,
46 41.741 -87.551 0 6,48 41.730 -87.573 0 1,49 41.707 -87.623 1 0,50 41.706 -87.598 0 1,
51 41.691 -87.570 0 2,55 41.664 -87.541 0 1,57 41.811 -87.726 1 0,58 41.817 -87.699 2 7,
59 41.833 -87.679 10 13,60 41.836 -87.649 7 22,61 41.809 -87.659 1 2,63 41.795 -87.696 1 3,
64 41.780 -87.769 1 4,65 41.770 -87.727 2 3,66 41.772 -87.696 1 2,67 41.776 -87.667 0 2,
68 41.777 -87.642 2 2,69 41.763 -87.616 3 4,70 41.746 -87.708 0 3,71 41.744 -87.656 2 1,
72 41.713 -87.675 0 2,73 41.717 -87.649 2 2,74 41.695 -87.713 1 2,75 41.690 -87.669 0 2,
77 41.987 -87.663 180 192"""
AREAS = dict(BUSY_AREAS)
for line in QUIET_AREAS.split(","):
    number, *facts = line.split()
    AREAS[int(number)] = (*map(float, facts), 6, 0.87)
OUTSIDE_SHARE = 0.0333  # Of the dropoffs are outside the city: no area, and mostly no location.

# Company: trips, share of trips whose odometer sent 0.0 miles, share which sent 0.1 or 0.2.
COMPANIES = {
    "": (5140, 0.01, 0.05),
    "Taxi Affiliation Services": (5176, 0.41, 0.12),
    "Dispatch Taxi Affiliation": (1636, 0.23, 0.02),
    "Blue Ribbon Taxi Association Inc.": (1090, 0.76, 0.14),
    "Choice Taxi Association": (872, 0.25, 0.01),
    "Northwest Management LLC": (551, 0.27, 0.02),
    "KOAM Taxi Association": (246, 0.0, 0.01),
    "Top Cab Affiliation": (132, 0.04, 0.01),
    "Chicago Elite Cab Corp. (Chicago Carriag": (26, 1.0, 0.0),
    "Chicago Medallion Leasing INC": (22, 0.09, 0.0),
    "Chicago Medallion Management": (17, 0.06, 0.0),
    "Chicago Elite Cab Corp.": (9, 1.0, 0.0),
}
# The long tail: one-cab owners. The real names are people's, these are made up.
for rank in range(50):
    name = f"{1000 + 97 * rank} - {20000 + 1543 * rank} Sample Cab {rank + 1}"
    COMPANIES[name] = (max(1.0, 5 / (1 + rank / 5)), 0.1, 0.0)

RARE_PAYMENTS = {"": 14889, "No Charge": 81, "Unknown": 22, "Dispute": 4, "Pcard": 3, "Prcard": 1}
CARD_BY_FARE = ([4, 5, 7, 10, 15, 30], [0.08, 0.22, 0.29, 0.32, 0.36, 0.42, 0.57])
CARD_BY_YEAR = {2013: 0.80, 2014: 1.01, 2015: 1.24, 2016: 1.37}
CARD_AREAS = [8, 32, 33, 6, 7, 56, 76]  # Downtown, the lake front and the airports; elsewhere ...
CARD_ELSEWHERE = 0.8  # ... cards are rarer.

TIPPING = {"Credit Card": 1.0, "Unknown": 0.27, "Cash": 0.0004}  # Cash tips are rarely known.
# Tips of card payers: a round sum for short trips, a share of the total for long ones.
ROUND_SUM_SHARE = ([10, 15, 20], [0.94, 0.72, 0.50, 0.40])
SHORT_TIPS = {2.0: 0.57, 3.0: 0.19, 1.0: 0.14, 4.0: 0.05, 1.5: 0.03, 5.0: 0.02}
TIP_SHARES = {0.20: 0.56, 0.25: 0.29, 0.15: 0.05, 0.30: 0.07, 0.40: 0.03}
EXTRAS = {0.0: 0.14, 1.0: 0.40, 2.0: 0.29, 3.0: 0.17}
NO_TIP_SHARE = 0.045
MEAN_SHARE = 0.02  # Gives half the usual tip ...
MEAN_HOURS = {7: 0.16, 8: 0.12}  # ... more often on the way to work ...
MEAN_COMPANIES = 0.06  # ... and with every company but the largest and the unnamed.


def pick(rng, weights, size):
    """Draws `size` positions in `weights`: each as often as its weight says, in random order.

    Even steps are used instead of independent draws, so that a small sample has rare values too.
    Only `random()` is used, whose numbers are the same in every version of NumPy.
    """
    edges = np.cumsum(np.asarray(weights, float))
    steps = (np.argsort(rng.random(size), kind="stable") + rng.random()) / max(size, 1)
    return np.searchsorted(edges / edges[-1], steps, side="right")


def choose(rng, table, size):
    """Draws `size` keys of `table` (value to weight)."""
    return np.array(list(table))[pick(rng, list(table.values()), size)]


def by_step(table, values):
    """Looks `values` up in a step function: (edges, one value more than edges)."""
    return np.array(table[1])[np.digitize(values, table[0])]


def bell(rng, size):
    """Draws roughly normal numbers: the sum of 12 uniform ones."""
    return rng.random((12, size)).sum(axis=0) - 6


def start_times(rng, rows):
    """Draws unix seconds, on the quarter hour, by year, month, weekday and hour."""
    days = np.arange(np.datetime64("2013-01-01"), np.datetime64("2016-12-31"))
    months = days.astype("datetime64[M]").astype(int) % 12
    years = days.astype("datetime64[Y]").astype(int) + 1970
    weekdays = (days.astype(int) + 4) % 7  # 1970-01-01 was a Thursday.
    weights = (
        np.array([YEARS[y] for y in years]) * np.take(MONTHS, months) * np.take(DAYS, weekdays)
    )
    day, hour = pick(rng, weights, rows), pick(rng, HOURS, rows)
    time = days[day].astype(int) * 86400 + hour * 3600 + pick(rng, [1] * 4, rows) * 900
    return time, years[day], months[day] + 1, weekdays[day] + 1, hour


def make_places(rng):
    """Invents each area's census tracts; place 0 of an area is its centre, used if hidden."""
    places, first = [], {}
    for area, (latitude, longitude, *_, tracts, _) in AREAS.items():
        first[area] = len(places)
        places.append((latitude, longitude, 0))
        for tract in range(1, tracts + 1):
            north, east = rng.random(2) - 0.5
            number = 17031000000 + area * 10000 + tract * 100
            places.append((latitude + north * 0.017, longitude + east * 0.024, number))
    latitude, longitude, tract = map(np.array, zip(*places, strict=True))
    return np.round(latitude, 9), np.round(longitude, 9), tract, first


def choose_places(rng, areas, first):
    """Draws a place in each trip's area: the centre if hidden, else a tract, the first most."""
    shown = rng.random(len(areas)) >= np.array([AREAS[a][5] for a in areas])
    places = np.array([first[a] for a in areas])
    for area, (*_, tracts, _) in AREAS.items():
        here = (areas == area) & shown
        places[here] += 1 + pick(rng, 1 / np.arange(1.0, tracts + 1), here.sum())
    return places


def choose_dropoffs(rng, pickups):
    """Draws the dropoff areas: popular ones more, and near ones more."""
    numbers = np.array(list(AREAS))
    facts = np.array([AREAS[a][:4] for a in numbers])
    dropoffs = np.empty_like(pickups)
    for area in np.unique(pickups):
        miles = miles_between(AREAS[area], (facts[:, 0], facts[:, 1]))
        weights = facts[:, 3] ** 0.78 * (0.13 + 1 / (1 + (miles / 1.6) ** 2))
        here = pickups == area
        dropoffs[here] = numbers[pick(rng, weights, here.sum())]
    return dropoffs


def miles_between(start, end):
    """Returns the miles along a street grid between two (latitude, longitude, ...)."""
    return np.abs(end[0] - start[0]) * 69 + np.abs(end[1] - start[1]) * 51.4


def tip(rng, fare, company, hour):
    """Returns what a card payer tips."""
    rows = len(fare)
    total = fare + choose(rng, EXTRAS, rows)
    share = np.round(total * choose(rng, TIP_SHARES, rows) * 20) / 20
    short = choose(rng, SHORT_TIPS, rows)
    long = np.maximum(short, np.round(fare * 0.19 + 1.2 * bell(rng, rows)))
    round_sum = np.where(fare < 15, short, long)
    tips = np.where(rng.random(rows) < by_step(ROUND_SUM_SHARE, fare), round_sum, share)
    mean = np.array([MEAN_HOURS.get(h, MEAN_SHARE) for h in hour])
    mean += MEAN_COMPANIES * ~np.isin(company, list(COMPANIES)[:2])
    tips = np.where(rng.random(rows) < mean, np.ceil(tips) / 2, tips)
    return np.where(rng.random(rows) < NO_TIP_SHARE, 0.0, tips)


def meter(rng, driven, year, hour, aborted):
    """Returns the minutes and the fare of trips of `driven` miles."""
    rows = len(driven)
    minutes = 2.6 + 3.2 * np.minimum(driven, 4) + 1.45 * np.maximum(driven - 4, 0)
    minutes *= np.array(SLOWNESS)[hour] * np.maximum(0.4, 1 + 0.25 * bell(rng, rows))
    minutes = np.maximum(1, np.round(minutes))
    # The rates rose in 2016.
    step, per_mile = np.where(year < 2016, 0.20, 0.25), np.where(year < 2016, 1.80, 2.25)
    metered = per_mile * driven + 0.11 * minutes + 0.25 * bell(rng, rows)
    fare = 3.25 + np.where(aborted, 0, np.maximum(1, np.round(metered / step)) * step)
    fare[rng.random(rows) < 0.0004] *= 8  # Now and then the driver forgets the meter.
    minutes[rng.random(rows) < 0.0003] *= 30
    minutes[aborted] = 0
    return minutes.astype(int), np.round(fare, 2)


def odometer(rng, driven, company, aborted):
    """Returns the miles as sent: wrong in ways which depend on the company."""
    rows = len(driven)
    zero, short = (np.array([COMPANIES[c][i] for c in company]) for i in (1, 2))
    precise = (company == "") & (rng.random(rows) < 0.1)
    miles = np.where(precise, np.round(driven, 2), np.round(driven, 1))
    slipped = (rng.random(rows) < 0.007) & (driven > 6)  # A lost decimal point.
    miles = np.where(slipped, np.round(driven * 10), miles)
    sent = rng.random(rows)
    miles = np.where(sent < zero + short, np.round(rng.random(rows) + 1) / 10, miles)
    return np.where((sent < zero) | aborted, 0.0, miles)


def choose_payments(rng, fare, year, pickup_area):
    """Draws the payment types: cards for dear trips, in later years and in some areas."""
    rows = len(fare)
    by_card = by_step(CARD_BY_FARE, fare) * np.array([CARD_BY_YEAR[y] for y in year])
    by_card *= np.where(np.isin(pickup_area, CARD_AREAS), 1.0, CARD_ELSEWHERE)
    payment = np.where(rng.random(rows) < by_card, "Credit Card", "Cash")
    rare = choose(rng, RARE_PAYMENTS, rows)
    return np.where(rare == "", payment, rare)


def text(values):
    """Returns the numbers as text: integers as `7`, floats as `7.0` or `12.45`."""
    return np.array([str(value) for value in values.tolist()])


def make_trips(rows, seed):
    """Makes all columns: name to array of text, "" where missing."""
    rng = np.random.Generator(np.random.PCG64(seed))
    latitude, longitude, tract, first = make_places(rng)
    time, year, month, day, hour = start_times(rng, rows)
    company = choose(rng, {name: facts[0] for name, facts in COMPANIES.items()}, rows)

    # An aborted trip ends where it started, after 0 seconds, at the lowest fare.
    aborted = rng.random(rows) < 0.03
    pickup_area = choose(rng, {area: facts[2] for area, facts in AREAS.items()}, rows)
    dropoff_area = np.where(aborted, pickup_area, choose_dropoffs(rng, pickup_area))
    pickup = choose_places(rng, pickup_area, first)
    dropoff = np.where(aborted, pickup, choose_places(rng, dropoff_area, first))
    outside = rng.random(rows) < OUTSIDE_SHARE

    start, end = ((latitude[place], longitude[place]) for place in (pickup, dropoff))
    driven = np.maximum(0.35, miles_between(start, end) * (0.97 + 0.15 * bell(rng, rows)))
    driven += 0.7 * rng.random(rows) + outside * 22 * rng.random(rows) ** 2
    minutes, fare = meter(rng, driven, year, hour, aborted)
    miles = odometer(rng, driven, company, aborted)
    payment = choose_payments(rng, fare, year, pickup_area)
    tipping = np.array([TIPPING.get(p, TIPPING["Cash"]) for p in payment])
    tips = np.where(rng.random(rows) < tipping, tip(rng, fare, company, hour), 0.0)

    # Broken records, without a fare: of 15,000 trips 2 without a pickup, 6 without a duration.
    unit = max(1, rows // 15000)
    shuffled = np.argsort(rng.random(rows), kind="stable")
    nowhere, endless, broken = shuffled[: 2 * unit], shuffled[2 * unit :][: 6 * unit], 8 * unit
    fare[shuffled[:broken]] = miles[shuffled[:broken]] = tips[shuffled[:broken]] = 0.0
    payment[shuffled[:broken]] = "Unknown"
    outside[shuffled[:broken]] = True
    located = ~outside | (rng.random(rows) < 0.047) & (fare > 0)

    columns = {
        "pickup_community_area": text(pickup_area),
        "fare": text(fare),
        "trip_start_month": text(month),
        "trip_start_hour": text(hour),
        "trip_start_day": text(day),
        "trip_start_timestamp": text(time),
        "pickup_latitude": text(start[0]),
        "pickup_longitude": text(start[1]),
        "dropoff_latitude": np.where(located, text(end[0]), ""),
        "dropoff_longitude": np.where(located, text(end[1]), ""),
        "trip_miles": text(miles),
        "pickup_census_tract": text(17031000100 + pickup_area * 10000),
        "dropoff_census_tract": np.where(located & (tract[dropoff] > 0), text(tract[dropoff]), ""),
        "payment_type": payment,
        "company": company,
        "trip_seconds": text(minutes * 60),
        "dropoff_community_area": np.where(outside, "", text(dropoff_area)),
        "tips": text(tips),
    }
    for name in ("pickup_community_area", "pickup_latitude", "pickup_longitude"):
        columns[name][nowhere] = ""
    for name in ("fare", "trip_miles", "tips"):
        columns[name][nowhere] = "0"  # The real file, too, writes some zeros without a point.
    columns["trip_seconds"][endless] = ""
    # The pickup tract is hidden, but for one trip in 15,000.
    columns["pickup_census_tract"][shuffled[:broken]] = ""
    columns["pickup_census_tract"][shuffled[broken + unit :]] = ""
    return columns


def main():
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=15000)
    parser.add_argument("--seed", type=int, default=2013)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("trips.csv"))
    options = parser.parse_args()
    if options.rows < 1:
        parser.error("--rows: give 1 or more")
    columns = make_trips(options.rows, options.seed)
    part = options.output.with_name(options.output.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    os.replace(part, options.output)  # So there is never an incomplete file.


if __name__ == "__main__":
    main()
