# The first stages have the tools to build; the last one has only the interpreter and the gateway's
# virtual environment. Bases are arguments, so that they can be pinned by digest:
#
#   docker build --build-arg BASE_IMAGE=python:3.13-slim-bookworm@sha256:… -t knowledge-base-gateway .
#
# RUNTIME_IMAGE may differ from BASE_IMAGE, with the same Python at the same path: the last stage runs
# no command, so it needs no shell. For your own package index, pass its settings as a build secret:
# --secret id=pip.conf,src=… and, for your own certificate, --secret id=ca.pem,src=… (docs/image.md).
ARG BASE_IMAGE=python:3.13-slim-bookworm
ARG RUNTIME_IMAGE=${BASE_IMAGE}

# --- What the gateway depends on: rebuilt only when the locked list changes -----------------------
FROM ${BASE_IMAGE} AS dependencies
# The date of every file, so that the same inputs give the same layers: 1980-01-01, the earliest date
# that a zip file, such as a wheel, can hold.
ARG SOURCE_DATE_EPOCH=315532800
# With a fixed hash seed sets, and so bytecode, have one order.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONHASHSEED=0 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
# pip itself stays in /build. The environment is made at its final path, /gateway, and then moved below
# /dependencies, so that COPY copies the folder with its date instead of making a new one.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.pem,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv /build && \
    /build/bin/python -m pip install -q --no-compile --require-hashes --only-binary :all: \
        -r requirements-build.lock && \
    python3 -m venv --without-pip /gateway && \
    /build/bin/python -m pip --python /gateway/bin/python install -q \
        --no-compile --require-hashes --only-binary :all: -r requirements.lock && \
    mkdir /dependencies && mv /gateway /dependencies/ && ln -s /dependencies/gateway /gateway
# Bytecode is validated by content, not by dates. It is in a tree of its own, because that of the
# standard library is included: official Python images have none, and on a read-only file system it
# would be compiled again at every start.
RUN export PYTHONPYCACHEPREFIX=/gateway/bytecode && \
    stdlib="$(/gateway/bin/python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" && \
    /gateway/bin/python -m compileall -qf --invalidation-mode unchecked-hash \
        -x '/(site-packages|dist-packages|test|tests|idlelib|lib2to3|turtledemo|ensurepip)/' \
        "$stdlib" && \
    /gateway/bin/python -m compileall -qf --invalidation-mode unchecked-hash /gateway/lib && \
    find /dependencies -exec touch -h -d "@${SOURCE_DATE_EPOCH}" {} +

# --- The gateway itself ---------------------------------------------------------------------------
FROM dependencies AS build
ARG SOURCE_DATE_EPOCH=315532800
COPY . .
# --root installs below /own instead of /gateway, so that it becomes a layer of its own.
RUN /build/bin/python -m pip wheel --no-index --no-deps --no-build-isolation --no-cache-dir \
        --wheel-dir /wheel . && \
    /build/bin/python -m pip --python /gateway/bin/python install --no-index --no-deps \
        --no-compile --no-cache-dir --root /own --prefix /gateway /wheel/*.whl && \
    export PYTHONPYCACHEPREFIX=/gateway/bytecode && \
    /gateway/bin/python -m compileall -qf --invalidation-mode unchecked-hash \
        -s /own -p / /own/gateway/lib && \
    mkdir -p /own/gateway/bytecode && mv /gateway/bytecode/own/gateway /own/gateway/bytecode/ && \
    find /own -exec touch -h -d "@${SOURCE_DATE_EPOCH}" {} +

# --- The image ------------------------------------------------------------------------------------
FROM ${RUNTIME_IMAGE}
ARG BASE_IMAGE
ARG RUNTIME_IMAGE
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="knowledge-base-gateway" \
      org.opencontainers.image.description="The API gateway of a knowledge base" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${RUNTIME_IMAGE}"
COPY --from=dependencies /dependencies/ /
COPY --from=build /own/ /
# A number, because Kubernetes' runAsNonRoot cannot check names.
USER 65532:65532
WORKDIR /
ENV PATH=/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPYCACHEPREFIX=/gateway/bytecode \
    PYTHONUNBUFFERED=1 \
    GATEWAY_SERVER_HOST=0.0.0.0
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-m", "gateway.commands.health"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
