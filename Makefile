# make run          set up .venv and run the taxi pipeline; for example ARGS="--steps 50",
#                   DATASTORE=s3
# make test         lint, types and tests
# make test-kills   kill 100 promotions and rollbacks at random moments, on disk and on S3
# make test-load    send requests for a minute while versions are pushed, one of them broken
# make test-docs    follow README and tutorials as a new user does, set-up included
# make test-long    whole runs that take a minute or more each
# make test-deploy  whole runs as Argo Workflows and Step Functions execute them; also with
#                   Netflix's metadata service, if PostgreSQL is installed
# make docs         the documentation as a site, in the folder site
# make drawing      the picture of the architecture, from the code's imports
# make screenshots  the pictures of `mfx ui` and of a card, from real runs; STORE=folder takes runs
#                   made before
# make reference    docs/reference/config.md and cli.md, from the program
# make wheel        the package, in the folder dist
# make test-wheel   install the wheel with pip where there is nothing else, and try it out
# make image        the container image for deployed runs; IMAGE=name, GPU=1 for GPUs
# make lint         check style, types and imports
# make format       format the code
# make lock         lock the dependencies after a change in pyproject.toml
# make test-stack2  tests and a run on Python 3.13 in a root folder of Debian 13; as root
# make chaos        kill runs at random moments and resume them, on disk and on S3
# make chaos-ingest  kill runs in ingest at random moments and resume them, for each input format
# make bench        compare this pipeline with TFX's own, step by step
# make bench-ingest  how fast each format is read, beside TFX's ExampleGen, up to 10 million rows
# make bench-images  how fast a folder of images is read, beside a plain loop of Pillow
# make bench-spans  a window of 7 spans moved by one, with and without what the run before it kept
# make bench-train  compare training input with model.fit on arrays, and the settings of [train]
# make bench-serving  compare `mfx serve` under load with its core, Triton and simple servers
# make bench-ui     how soon `mfx ui` shows 200 runs
# make clean        remove .venv and all caches

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV_VERSION := 0.13.8
SYNC_ARGS ?=
DATASTORE ?=
IMAGE ?= mfx
GPU ?=
TFX_SCRIPT ?= ../shared/peers/tfx/run_taxi.py
TFX_PYTHON ?= python3.10
REAL_DATA ?= ../shared/data/taxi/trips.csv

export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)

.PHONY: run test docs reference drawing screenshots test-kills test-load test-long test-docs test-deploy test-stack2 chaos chaos-ingest image wheel test-wheel lint format setup lock bench bench-ingest bench-images bench-spans bench-train bench-serving bench-ui clean

run: setup
	@$(if $(DATASTORE),METAFLOW_DEFAULT_DATASTORE=$(DATASTORE) )$(BIN)/python flows/pipeline.py run $(ARGS)

test: lint
	$(BIN)/pytest $(ARGS)

screenshots: setup
	PYTHONPATH=tests $(BIN)/python -m helpers.screenshots $(STORE)

test-kills: setup
	MFX_KILLS=100 $(BIN)/pytest -n 0 tests/registry/test_promotion.py -k killed $(ARGS)

test-load: setup
	MFX_LOAD_SECONDS=60 $(BIN)/pytest -n 0 tests/serve/test_server.py -k load $(ARGS)

test-long: setup
	$(BIN)/pytest -m long $(ARGS)

test-docs: setup
	$(BIN)/pytest -n 0 -m docs tests/docs/test_pages_run.py $(ARGS)

test-deploy: setup
	$(BIN)/pytest -n 0 -m deploy tests/deploy/test_argo.py tests/deploy/test_data_on_argo.py \
		tests/deploy/test_step_functions.py tests/flows/test_metadata_service.py tests/flows/test_lists.py tests/serve/triton/test_triton.py $(ARGS)

# Without the variable, mkdocs-material prints an advertisement.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The site: site/index.html"

# The drawing of the packages and their imports, for docs/explanation/architecture.md.
drawing: setup
	$(BIN)/python .ci/drawing.py

reference: setup
	$(BIN)/mfx config --markdown docs/reference/config.md
	PYTHONPATH=tests $(BIN)/python -m helpers.cli_page

# By the locked hatchling.
wheel: setup
	rm -rf dist
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist
	@ls dist/*.whl

test-wheel: wheel
	PYTHON=$(PYTHON) .ci/test-wheel $(ARGS)

image:
	docker build --build-arg EXTRAS="$(if $(GPU),--extra gpu)" --tag $(IMAGE) .

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml uv.lock
	@$(PYTHON) .ci/check_host.py
	@echo "Setting up $(VENV): about 300 packages, 4 GB, a few minutes, once"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
# If PYTHONDONTWRITEBYTECODE is set, `import tensorflow` takes three times as long without this
# byte-compiling.
	@$(BIN)/uv sync --quiet --frozen --compile-bytecode --python $(BIN)/python $(SYNC_ARGS)
	@touch $@

# Run this after a change of dependencies in pyproject.toml. The lock leaves out Beam's extra gcp.
# Plain pip cannot do that, so requirements.txt lists the packages of this extra too.
lock: setup
	$(BIN)/uv lock
	$(BIN)/uv export --quiet --frozen --no-dev --extra gcp --no-hashes --no-annotate \
		--output-file requirements.txt

test-stack2:
	.ci/stack2

chaos: setup
	PYTHONPATH=tests $(BIN)/python -m helpers.chaos $(ARGS)

chaos-ingest: setup
	PYTHONPATH=tests $(BIN)/python -m helpers.chaos_ingest $(ARGS)

bench: setup
	$(BIN)/python benchmarks/bench.py --tfx-script $(TFX_SCRIPT) --tfx-python $(TFX_PYTHON) \
		--data $(REAL_DATA) $(ARGS)

bench-ingest: setup
	$(BIN)/python benchmarks/bench_ingest.py --tfx-python $(TFX_PYTHON) --data $(REAL_DATA) $(ARGS)

bench-images: setup
	$(BIN)/python benchmarks/bench_images.py $(ARGS)

bench-spans: setup
	$(BIN)/python benchmarks/bench_spans.py --data $(REAL_DATA) $(ARGS)

bench-train: setup
	$(BIN)/python benchmarks/bench_train.py --data $(REAL_DATA) $(ARGS)

bench-serving: setup
	$(BIN)/python benchmarks/bench_serving.py --page docs/reference/benchmarks-serving.md $(ARGS)

bench-ui: setup
	$(BIN)/python benchmarks/bench_ui.py $(ARGS)

clean:
	rm -rf $(VENV) dist .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis
