"""A run's schema, the anomalies of its data, and its features' distributions."""

from __future__ import annotations

from typing import Any

from mfx import registry
from mfx.artifacts.validation import Anomalies
from mfx.registry.runs import Results
from mfx.report import html
from mfx.report.html import NONE, Html, element
from mfx.ui.answers import Answer, Query
from mfx.ui.site import Site, badge, later, part, run_path, section

_VALUES = 12
"""Most values of a domain shown."""
_SEVERITIES = {"ERROR": "bad", "WARNING": "warn"}


def anomalies(found: Results) -> Html:
    """What breaks the schema."""
    left: Anomalies | None = found.get("validate", "anomalies")
    if left is None:
        return section("Anomalies", element("p", "Not known: the run did not get that far."))
    if not left.found:
        return section("Anomalies", element("p", badge("no anomalies", "good")))
    headers = ["", "feature", "split", "rule", "expected", "observed", "examples", "remedy"]
    rows = [
        [
            badge(one.severity.lower(), _SEVERITIES.get(one.severity, "")),
            *(one.feature, one.split, one.rule.replace("_", " ").lower()),
            *(one.expected, one.observed, NONE if one.count is None else f"{one.count:,}"),
            one.remedy,
        ]
        for one in sorted(left.found, key=lambda one: one.severity != "ERROR")
    ]
    return section(f"Anomalies: {len(rows)}", html.table(headers, rows, "Anomalies"))


def schema(found: Results) -> list[Html]:
    """What the run's examples were held to, and how they are distributed."""
    held = found.get("validate", "schema")
    if held is None:
        return [section("Schema", element("p", "Not known: the run did not get that far."))]
    origin = "Inferred in this run." if held.inferred else f"From the committed file {held.path}."
    proto = held.proto()
    domains = {domain.name: list(domain.value) for domain in proto.string_domain}
    rows = [_feature(feature, domains) for feature in proto.feature]
    source = element(
        "details", element("summary", "As text"), element("pre", held.text, class_="source")
    )
    path = run_path(*found.run.pathspec.split("/"), below="/part/distributions")
    return [
        section(
            f"Schema: {len(rows)} features",
            element("p", origin, class_="note"),
            html.table(
                ["feature", "type", "rows with it", "values in a row", "domain"], rows, "Schema"
            ),
            source,
        ),
        later(path, "distributions", "Drawing"),
    ]


def distributions(site: Site, flow: str, run: str, query: str) -> Answer:
    """The distributions of train against the other splits, as charts."""
    from mfx.report.distributions import draw
    from mfx.report.vega_lite import grid, svg

    Query(query, ())
    statistics = registry.run(run, flow).need("validate", "statistics")
    splits = statistics.splits
    numeric, texts, left_out = draw({s: statistics.proto(s).datasets[0] for s in splits})
    line, ticks = (f"{what} {', '.join(splits[1:])}." for what in ("the line is", "ticks are"))
    shown = []
    for title, note, drawn, columns in (
        ("Numbers", f"Share of rows in each bin: bars are train, {line}", numeric, 4),
        ("Text", f"Share of rows with each value: bars are train, {ticks}", texts, 3),
    ):
        if drawn:
            picture = Html(svg(grid(drawn, columns), f"Distributions: {title.lower()}"))
            shown.append(section(title, element("p", note, class_="note"), picture))
    if left_out:
        shown.append(section("Not drawn", element("p", ", ".join(left_out))))
    return part(*shown)


def _feature(feature: Any, domains: dict[str, list[str]]) -> list[str]:
    return [
        feature.name,
        feature.DESCRIPTOR.fields_by_name["type"]
        .enum_type.values_by_number[feature.type]
        .name.lower(),
        _presence(feature),
        _count(feature),
        _domain(feature, domains) or NONE,
    ]


def _presence(feature: Any) -> str:
    presence = feature.presence
    if presence.min_fraction:
        share = presence.min_fraction
        return "every row" if share == 1 else f"{share:.1%} of rows"
    return f"at least {presence.min_count:,}" if presence.min_count else "any number"


def _count(feature: Any) -> str:
    """How many values a row has."""
    if not feature.HasField("value_count"):
        return "1" if feature.HasField("shape") else "any"
    low, high = feature.value_count.min, feature.value_count.max
    return f"{low}" if low == high else f"{low} to {high or 'any'}"


def _domain(feature: Any, domains: dict[str, list[str]]) -> str:
    """The values that are allowed."""
    kind = feature.WhichOneof("domain_info")
    if kind == "domain":
        return _listed(domains.get(feature.domain, []))
    if kind == "string_domain":
        return _listed(list(feature.string_domain.value))
    if kind in ("int_domain", "float_domain"):
        given = getattr(feature, kind)
        low, high = (
            f"{getattr(given, name):g}" if given.HasField(name) else "" for name in ("min", "max")
        )
        category = ["category"] if kind == "int_domain" and given.is_categorical else []
        return ", ".join([*category, *([f"{low} … {high}".strip()] if low or high else [])])
    return (kind or "").removesuffix("_domain")


def _listed(values: list[str]) -> str:
    more = f" and {len(values) - _VALUES} more" if len(values) > _VALUES else ""
    return ", ".join(values[:_VALUES]) + more
