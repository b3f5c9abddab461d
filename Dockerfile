# The first stages have what is needed to build; the last one has the interpreter, the gateway's
# virtual environment and nothing else. Bases are arguments, so that they can be pinned by digest:
#
#   docker build --build-arg BASE_IMAGE=python:3.13-slim-bookworm@sha256:… -t knowledge-base-gateway .
#
# RUNTIME_IMAGE may be another one than BASE_IMAGE, with the same Python at the same place: the
# last stage runs nothing, so it may have no shell. Where packages come from an index of your own,
# its settings are a secret of the build: --secret id=pip.conf,src=… and, for a certificate of your
# own, --secret id=ca.pem,src=… (docs/image.md).
ARG BASE_IMAGE=python:3.13-slim-bookworm
ARG RUNTIME_IMAGE=${BASE_IMAGE}

# --- What the gateway depends on: rebuilt only when the locked list changes -----------------------
FROM ${BASE_IMAGE} AS dependencies
# Every file is dated so; the same inputs then give the same layers. It is 1980-01-01, the earliest
# date that a wheel, a zip file, can hold.
ARG SOURCE_DATE_EPOCH=315532800
# The hash seed keeps sets, and so bytecode, in one order.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONHASHSEED=0 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
# pip itself stays behind in /build. The environment is made at its place, /gateway, and then lies
# below /dependencies, so that the folder and its date are copied, and not made anew.
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
# Bytecode is valid by what is in the image and not by dates. It lies in a tree of its own, as the
# standard library's is there too: official Python images come without, and on a read-only file
# system it would be compiled anew at every start.
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
# --root puts what belongs into /gateway below /own, so that it becomes a layer of its own.
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
# A number, not a name: Kubernetes' runAsNonRoot can only check numbers.
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
