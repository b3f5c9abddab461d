# The reference core and its Temporal worker, for the dev overlay; from the checkout's root:
#   docker build -f k8s/overlays/dev/core.Dockerfile -t knowledge-base-core:dev .
ARG BASE_IMAGE=python:3.13-slim-bookworm
FROM ${BASE_IMAGE}
WORKDIR /src
COPY . .
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.pem,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv /core && \
    /core/bin/python -m pip install --quiet --no-cache-dir '.[devstack]'
USER 65532:65532
WORKDIR /
ENV PATH=/core/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
ENTRYPOINT ["python", "-m", "devstack.core"]
CMD ["serve"]
