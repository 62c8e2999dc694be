"""Of `validate`: the statistics, the schema, and what breaks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfx.artifacts.lineage import Lineage, hash_bytes
from mfx.artifacts.store import Payload

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Statistics:
    """TFDV's statistics, `<split>.pb` each a serialized DatasetFeatureStatisticsList.

    Args:
        engine: What computed them.
    """

    payload: Payload
    lineage: Lineage
    engine: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over the statistics of all splits."""
        return self.payload.digest

    def proto(self, split: str = "train") -> Any:
        """`DatasetFeatureStatisticsList`, as `tfdv.visualize_statistics` takes it."""
        from tensorflow_metadata.proto.v0 import statistics_pb2

        return statistics_pb2.DatasetFeatureStatisticsList.FromString(
            self.payload.read(f"{split}.pb")
        )

    def to_pandas(self, split: str = "train") -> pd.DataFrame:
        """One row a feature: type, missing share, unique values or mean, quartiles and range."""
        import pandas as pd

        from mfx.artifacts.statistics_view import feature_rows

        return pd.DataFrame(feature_rows(self.proto(split))).set_index("feature")


@dataclass(frozen=True)
class Schema:
    """The schema that the run's examples were held to.

    Args:
        text: The schema in protobuf text format, as in `schema.pbtxt`.
        path: The committed file, or where one is expected.
        inferred: Whether it was inferred in this run because no file was committed.
        proposal: The schema that this run's data would give, in text format.
        fits: Whether this run's data meets the proposal.
    """

    text: str
    path: str
    inferred: bool
    proposal: str
    lineage: Lineage
    fits: bool = True

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hash_bytes(self.text.encode())

    def proto(self) -> Any:
        """`tensorflow_metadata.proto.v0.schema_pb2.Schema`."""
        from google.protobuf import text_format
        from tensorflow_metadata.proto.v0 import schema_pb2

        return text_format.Parse(self.text, schema_pb2.Schema())


@dataclass(frozen=True)
class Anomaly:
    """One rule of the schema that one split's values of one feature break.

    Args:
        split: The split; `train vs eval` for skew, `schema` for what is not of the data.
        feature: The feature, or `<dataset>`.
        rule: TFDV's name of the rule, such as ENUM_TYPE_UNEXPECTED_STRING_VALUES, or
            FEATURE_IN_ONE_SPLIT or SCHEMA_NOT_CHECKED.
        severity: ERROR stops the run, WARNING does not.
        expected: What the schema says.
        observed: What the data shows.
        count: Examples concerned; None where the rule is not about single examples.
        remedy: What to do.
    """

    split: str
    feature: str
    rule: str
    severity: str
    expected: str
    observed: str
    count: int | None
    remedy: str

    def __str__(self) -> str:
        count = "" if self.count is None else f" ({self.count} examples)"
        return (
            f"{self.feature} [{self.split}] {self.rule}: expected {self.expected}; "
            f"observed {self.observed}{count}. {self.remedy}"
        )


@dataclass(frozen=True)
class Anomalies:
    """All anomalies of a run's examples against its schema; empty when there are none."""

    found: tuple[Anomaly, ...]
    lineage: Lineage

    @property
    def errors(self) -> tuple[Anomaly, ...]:
        """Those that stop the run."""
        return tuple(a for a in self.found if a.severity == "ERROR")

    def to_pandas(self) -> pd.DataFrame:
        """One row an anomaly, a column for each of `Anomaly`'s fields."""
        import pandas as pd

        columns = list(Anomaly.__dataclass_fields__)
        return pd.DataFrame([vars(a) for a in self.found], columns=columns)
