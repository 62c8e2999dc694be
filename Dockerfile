# The image of deployed runs: the locked dependencies, installed by the commands of `make setup`.
# The code itself travels in Metaflow's code package, so a change of code needs no new image.
#
#   make image IMAGE=registry.example.com/mfx:1          CPU
#   make image IMAGE=registry.example.com/mfx:1-gpu GPU=1   with NVIDIA's libraries
ARG PYTHON=3.11
ARG DEBIAN=bookworm

FROM python:${PYTHON}-${DEBIAN} AS build
ARG EXTRAS=""
WORKDIR /srv/mfx
COPY Makefile pyproject.toml uv.lock ./
COPY .ci/check_host.py .ci/
RUN make setup SYNC_ARGS="--no-dev --no-install-project ${EXTRAS}"

FROM python:${PYTHON}-slim-${DEBIAN}
RUN useradd --create-home --uid 1000 mfx && install --directory --owner mfx --group mfx /srv/work
COPY --from=build /srv/mfx/.venv /srv/mfx/.venv
ENV PATH=/srv/mfx/.venv/bin:/usr/local/bin:/usr/bin:/bin
ENV LANG=C.UTF-8
ENV METAFLOW_SKIP_INSTALL_DEPENDENCIES=1
USER 1000
WORKDIR /srv/work
