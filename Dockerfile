# Two images from one file: `--target full` (the default) trains and scores, `--target edge` scores, checks
# signatures, reads Avro and topics of every compression (48 MB of it), and has no TensorFlow.
# BASE is any Debian-like image with Python 3.11 to 3.13 and its venv module.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS wheel
WORKDIR /src
COPY requirements/build.txt requirements/
RUN python3 -m venv /build && /build/bin/pip install -q --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY streamer streamer
COPY models models
RUN /build/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /dist .

# Environments without pip of their own: the final stages carry nothing that installs or builds.
FROM wheel AS install-edge
COPY requirements/edge.txt requirements/
RUN python3 -m venv --without-pip /opt/streamer \
 && /build/bin/pip --python /opt/streamer/bin/python install -q --no-cache-dir --require-hashes -r requirements/edge.txt \
 && /build/bin/pip --python /opt/streamer/bin/python install -q --no-cache-dir --no-deps /dist/*.whl

FROM wheel AS install-full
COPY requirements/full.txt requirements/
RUN python3 -m venv --without-pip /opt/streamer \
 && /build/bin/pip --python /opt/streamer/bin/python install -q --no-cache-dir --require-hashes -r requirements/full.txt \
 && /build/bin/pip --python /opt/streamer/bin/python install -q --no-cache-dir --no-deps /dist/*.whl

FROM ${BASE} AS runtime
# A number, so that `runAsNonRoot` can be checked without reading /etc/passwd. /data is the only place written to.
RUN mkdir /data && chown 10001:10001 /data
ENV PATH=/opt/streamer/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/data MPLCONFIGDIR=/data/.matplotlib
WORKDIR /data
USER 10001:10001
STOPSIGNAL SIGTERM
# No HEALTHCHECK: the orchestrator asks /healthz and /readyz.
ENTRYPOINT ["streamer"]
CMD ["--help"]

FROM runtime AS edge
COPY --from=install-edge /opt/streamer /opt/streamer

FROM runtime AS full
COPY --from=install-full /opt/streamer /opt/streamer
