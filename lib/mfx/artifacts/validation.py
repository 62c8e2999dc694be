"""The results of `validate`: the statistics, the schema, and the anomalies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfx.artifacts.lineage import Lineage, hash_bytes
from mfx.artifacts.store import Payload
from mfx.splits import in_order

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Statistics:
    """TFDV's statistics of each split.

    Args:
        payload: Files `<split>.pb`, each a serialized DatasetFeatureStatisticsList.
        lineage: What the result was made from.
        engine: What computed them.
    """

    payload: Payload
    lineage: Lineage
    engine: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the statistics of all splits."""
        return self.payload.digest

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, as `Examples.splits`."""
        return in_order(blob.path.removesuffix(".pb") for blob in self.payload.blobs)

    def proto(self, split: str = "train") -> Any:
        """A split's `DatasetFeatureStatisticsList`, for example for `tfdv.visualize_statistics`."""
        from tensorflow_metadata.proto.v0 import statistics_pb2

        return statistics_pb2.DatasetFeatureStatisticsList.FromString(
            self.payload.read(f"{split}.pb")
        )

    def to_pandas(self, split: str = "train") -> pd.DataFrame:
        """A table with one row per feature; its columns are the keys of `feature_rows`."""
        import pandas as pd

        from mfx.artifacts.statistics_view import feature_rows

        return pd.DataFrame(feature_rows(self.proto(split))).set_index("feature")


@dataclass(frozen=True)
class Schema:
    """The schema that the run's examples were checked against.

    Args:
        text: The schema in protobuf text format, as in `schema.pbtxt`.
        path: The path of the committed file, or where it would be.
        inferred: Whether it was inferred in this run because no file was committed.
        proposal: The schema inferred from this run's data, in text format; for
            `mfx schema accept`.
        lineage: What the result was made from.
        fits: Whether this run's data has no errors by the proposal.
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
    """A rule that a feature of a split breaks.

    Args:
        split: The split; `train vs eval` for skew, `schema` for a rule that is not checked.
        feature: The feature, or `<dataset>`.
        rule: TFDV's name of the rule, such as ENUM_TYPE_UNEXPECTED_STRING_VALUES; or MFX's own
            FEATURE_IN_ONE_SPLIT, SCHEMA_NOT_CHECKED or LABEL_MISSING.
        severity: ERROR stops the run, WARNING does not.
        expected: What was expected, in words.
        observed: What was found, in words.
        count: How many examples are concerned; None for a rule that is not about single examples.
        remedy: What the user can do.
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
    """All anomalies of a run's examples. It is empty when there are none."""

    found: tuple[Anomaly, ...]
    lineage: Lineage

    @property
    def errors(self) -> tuple[Anomaly, ...]:
        """The anomalies that stop the run."""
        return tuple(a for a in self.found if a.severity == "ERROR")

    def to_pandas(self) -> pd.DataFrame:
        """A table with one row per anomaly and a column for each field of `Anomaly`."""
        import pandas as pd

        columns = list(Anomaly.__dataclass_fields__)
        return pd.DataFrame([vars(a) for a in self.found], columns=columns)
