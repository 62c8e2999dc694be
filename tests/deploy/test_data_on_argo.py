"""Data that are no plain files, read by the containers of a compiled Argo workflow.

Each is the same 3,000 trips. They must give what the steps make of them on this machine, and no
secret of theirs may be in anything that is left.
"""

from __future__ import annotations

import csv
import json
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from helpers import deployed
from helpers.argo_harness import Workflow, without_nulls
from helpers.databases import postgresql, psql
from helpers.flows import ROOT, SAMPLE
from helpers.metadata_service import UnavailableError
from helpers.pods import isolated  # noqa: F401 (a fixture)

from mfx.validate.schema_file import column_types

pytestmark = pytest.mark.deploy

REST, HDF5 = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs/how-to/own-source.md").read_text(encoding="utf-8"), re.S
)
"""The worked examples of the how-to."""
SECRET = "hush-the-trips"
ROWS = 3000
PAGE = 1000
DEPLOY = 'image = "registry.example.com/mfx:1"\nsecrets = ["mfx-s3", "mfx-trips"]\nretries = 0\n'


@dataclass
class Given:
    """One kind of data.

    Args:
        data: The keys under `[data]` that name it.
        source: The text of the user's own source, if there is one.
        secrets: What a Kubernetes secret gives the containers.
    """

    data: str
    source: str = ""
    secrets: dict[str, str] = field(default_factory=dict)


def trips() -> pa.Table:
    """The first rows of the sample, with the types of the committed schema; text is text."""
    known = column_types(ROOT / "flows/taxi/schema.pbtxt")
    types = {"int64": pa.int64(), "float32": pa.float64(), "bytes": pa.string()}
    with SAMPLE.open(newline="") as file:
        names, *rows = csv.reader(file)
    columns = list(zip(*rows[:ROWS], strict=True))
    made = {}
    for name, column in zip(names, columns, strict=True):
        kind = types[known[name].kind]
        texts = [cell or None for cell in column]
        made[name] = pa.array(texts).cast(kind)
    return pa.table(made)


@pytest.fixture(scope="module")
def rest() -> Iterator[Given]:
    """The how-to's REST interface, with all columns of the trips."""
    table = trips()
    rows = table.to_pylist()

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.headers["Authorization"] != f"Bearer {SECRET}":
                self.send_error(401)
                return
            what = self.path.rpartition("/")[2]
            pages = {"count": -(-len(rows) // PAGE)}
            body = json.dumps(rows[int(what) * PAGE :][:PAGE] if what.isdigit() else pages).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    words = {pa.int64(): "pa.int64()", pa.float64(): "pa.float64()", pa.string(): "pa.string()"}
    columns = ", ".join(f'("{f.name}", {words[f.type]})' for f in table.schema)
    source = re.sub(r"TRIP = .*", f"TRIP = pa.schema([{columns}])", REST)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield Given('source = "my_source.py"', source, {"TRIPS_URL": url, "TRIPS_TOKEN": SECRET})
    server.shutdown()


@pytest.fixture(scope="module")
def hdf5() -> Iterator[Given]:
    """The how-to's HDF5 file, on a volume that containers see."""
    table = trips()
    with tempfile.TemporaryDirectory(prefix="mfx-volume-", dir="/var/tmp") as volume:
        path = Path(volume, "trips.h5")
        with h5py.File(path, "w") as file:
            for name, column in zip(table.column_names, table.columns, strict=True):
                if pa.types.is_string(column.type):
                    texts = [(text or "").encode() for text in column.to_pylist()]
                    file[name] = np.array(texts, dtype=object)
                else:  # HDF5 has no null; NaN is what people write.
                    file[name] = column.to_pandas().to_numpy()
        texts = [f.name for f in table.schema if pa.types.is_string(f.type)]
        missing = ", ".join(f'{name} = [""]' for name in texts)
        data = f'source = "my_source.py"\nnull_values = {{ columns = {{ {missing} }} }}'
        yield Given(data, HDF5.replace("100_000", "1_000"), {"TRIPS_H5": str(path)})


@pytest.fixture(scope="module")
def query() -> Iterator[Given]:
    """A table of a PostgreSQL server, read with a password."""
    table = trips()
    kinds = {pa.int64(): "BIGINT", pa.float64(): "DOUBLE PRECISION", pa.string(): "TEXT"}
    columns = ", ".join(f"{f.name} {kinds[f.type]}" for f in table.schema)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as stack:
        try:
            admin = stack.enter_context(postgresql(port))
        except UnavailableError as why:
            pytest.skip(str(why))
        psql(admin, f"CREATE TABLE trips (trip BIGINT, {columns})")
        psql(admin, f"CREATE ROLE reader LOGIN PASSWORD '{SECRET}'")
        psql(admin, "GRANT SELECT ON trips TO reader")
        text = "".join(
            ",".join("" if cell is None else f'"{cell}"' for cell in (n, *row.values())) + "\n"
            for n, row in enumerate(table.to_pylist())
        )
        psql(admin, text, "\\copy trips FROM pstdin WITH (FORMAT csv)")
        names = ", ".join(table.column_names)
        data = (
            f'query = "SELECT trip, {names} FROM trips"\nconnection = "TRIPS_DATABASE"\n'
            'shard_by = { column = "trip", width = 1000 }'
        )
        uri = f"postgresql://reader:{SECRET}@127.0.0.1:{port}/metaflow"
        yield Given(data, secrets={"TRIPS_DATABASE": uri})


@pytest.fixture(scope="module")
def sequences(aws) -> Given:
    """tf.SequenceExamples on S3: trips in the context, and a list of steps beside them."""
    import boto3
    import tensorflow as tf

    def feature(value):
        if value is None:
            return tf.train.Feature()
        if isinstance(value, str):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        kind = {int: ("int64_list", tf.train.Int64List), float: ("float_list", tf.train.FloatList)}
        name, values = kind[type(value)]
        return tf.train.Feature(**{name: values(value=[value])})

    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="sequences")
    rows = trips().to_pylist()
    for number, begin in enumerate(range(0, ROWS, PAGE)):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "part.tfrecord")
            with tf.io.TFRecordWriter(str(path)) as writer:
                for n, row in enumerate(rows[begin : begin + PAGE]):
                    context = {name: feature(value) for name, value in row.items()}
                    steps = tf.train.FeatureList(feature=[feature(k) for k in range(n % 3)])
                    record = tf.train.SequenceExample(
                        context=tf.train.Features(feature=context),
                        feature_lists=tf.train.FeatureLists(feature_list={"steps": steps}),
                    )
                    writer.write(record.SerializeToString())
            s3.upload_file(str(path), "sequences", f"data/{number}.tfrecord")
    return Given('path = "s3://sequences/data"')


@pytest.fixture(scope="module")
def partitions(aws) -> Given:
    """Parquet on S3 in folders `payment_type=text`."""
    import boto3

    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="partitions")
    with tempfile.TemporaryDirectory() as directory:
        layout = ds.partitioning(pa.schema([("payment_type", pa.string())]), flavor="hive")
        ds.write_dataset(trips(), directory, format="parquet", partitioning=layout)
        for path in Path(directory).rglob("*.parquet"):
            key = path.relative_to(directory).as_posix()
            s3.upload_file(str(path), "partitions", f"data/{key}")
    return Given('path = "s3://partitions/data"')


@pytest.mark.parametrize("kind", ["rest", "hdf5", "query", "sequences", "partitions"])
def test_containers_make_of_it_what_the_steps_make_here(
    kind: str,
    request,
    aws,
    tmp_path,
    monkeypatch,
    isolated,  # noqa: F811
):
    given: Given = request.getfixturevalue(kind)
    place = _place(kind, given, aws, tmp_path)
    template = _compiled(place)
    secrets = {"mfx-s3": deployed.container_environment(aws), "mfx-trips": given.secrets}
    workflow = Workflow(template, tmp_path / "pods", secrets)
    assert workflow.run(), workflow.output()
    assert "Traceback" not in workflow.output()
    assert [name for name, _ in workflow.pods].count("ingest") > 1

    for name, value in given.secrets.items():
        monkeypatch.setenv(name, value)
    there = place.results(f"argo-{workflow.name}")
    assert there.pop("pushed").startswith(f"s3://{place.bucket}/models/")
    here = place.made_here(tmp_path / "here")
    assert there == here
    assert sum(there["rows"].values()) == ROWS

    # Code package, artifacts, cards, logs and checkpoints; what was printed and compiled.
    objects = deployed.stored(place.bucket)
    assert any("mf.cards" in key for key in objects)
    assert any(key.endswith("task_stdout.log") for key in objects)
    assert SECRET not in workflow.output() and SECRET not in json.dumps(template)
    assert not [key for key, content in objects.items() if SECRET.encode() in content]


def _place(kind: str, given: Given, aws: dict[str, str], folder: Path) -> deployed.Place:
    place = deployed.make(folder, f"argo-{kind}", aws, DEPLOY)
    text = place.config.read_text()
    path = f'path = "s3://{place.bucket}/data"'
    assert path in text
    place.config.write_text(text.replace(path, given.data))
    (place.config.parent / "schema.pbtxt").unlink()  # Data with other columns than the CSV file's.
    if given.source:
        (place.config.parent / "my_source.py").write_text(given.source)
    return place


def _compiled(place: deployed.Place) -> dict[str, object]:
    done = place.flow("argo-workflows", "create", "--only-json")
    assert done.returncode == 0, done.stdout + done.stderr
    return without_nulls(json.loads(done.stdout))
