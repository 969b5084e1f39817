# Two stages: the first builds a virtual environment from hashed locks, the second holds it and nothing else new.
#   docker build -t usage-exporter .
#   docker run --read-only --cap-drop=ALL -p 10187:10187 -v ./my-config:/etc/usage-exporter:ro usage-exporter
# BASE may be any image with Python 3.11 or newer at /usr/local/bin/python3; pin yours by digest:
#   --build-arg BASE=python:3.13-slim@sha256:...
ARG BASE=python:3.13-slim

FROM ${BASE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# The locks alone first: a change of the code keeps the layers of the dependencies. A lock names every package, so
# pip has nothing to resolve (--no-deps); `pip check` fails if one is missing.
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv tools \
 && tools/bin/pip install --no-deps --require-hashes -r requirements-build.lock \
 && tools/bin/pip check \
 && python3 -m venv --without-pip /opt/usage-exporter \
 && tools/bin/pip --python /opt/usage-exporter/bin/python3 install \
      --no-compile --only-binary=:all: --no-deps --require-hashes -r requirements.lock \
 && tools/bin/pip --python /opt/usage-exporter/bin/python3 check
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
# Bytecode that never looks at time stamps: valid for any copy of the tree, and the root may be read-only.
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && tools/bin/pip --python /opt/usage-exporter/bin/python3 install --no-compile --no-deps --no-index dist/*.whl \
 && /opt/usage-exporter/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/usage-exporter/lib

FROM ${BASE}
# An exporter installs nothing: what could is taken out of the base. The state folder is made for volumes to be
# mounted on (a named volume takes over its owner); nothing else is ever written.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip /usr/local/bin/pip* \
 && install -d -o 65532 -g 65532 /var/lib/usage-exporter \
 && install -d /etc/usage-exporter
COPY --from=builder /opt/usage-exporter /opt/usage-exporter
ENV PATH=/opt/usage-exporter/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1
# A number, so that Kubernetes can verify runAsNonRoot; any other works as well.
USER 65532:65532
EXPOSE 10187
HEALTHCHECK --interval=30s --timeout=5s --start-period=40s --retries=3 CMD ["usage-exporter", "healthcheck"]
ENTRYPOINT ["usage-exporter"]
CMD ["run", "--config.file=/etc/usage-exporter/config.yaml"]
# Last, because they change with every build.
ARG BASE
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="usage-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the usage, quota and billing APIs of SaaS vendors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}"
