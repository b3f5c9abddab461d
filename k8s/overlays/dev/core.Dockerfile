# The reference core and its Temporal worker, for the dev overlay and compose.yaml; from the checkout's
# root:
#   docker build -f k8s/overlays/dev/core.Dockerfile -t knowledge-base-core:dev .
ARG BASE_IMAGE=python:3.13-slim-bookworm

# What it depends on, as a list: the next stage is built again only when the list changes.
FROM ${BASE_IMAGE} AS list
WORKDIR /src
COPY setup.py README.md ./
COPY gateway/__init__.py gateway/
# A base has no setuptools; of setup.py its arguments are wanted and no more.
RUN python3 -c 'import runpy, sys, types; asked = {}; \
sys.modules["setuptools"] = types.SimpleNamespace(find_packages=lambda **_: [], setup=asked.update); \
runpy.run_path("setup.py"); \
print(*asked["install_requires"], *asked["extras_require"]["devstack"], sep="\n")' > /requirements.txt

FROM ${BASE_IMAGE}
WORKDIR /src
COPY --from=list /requirements.txt /requirements.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.pem,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv /core && \
    /core/bin/python -m pip install --quiet --no-cache-dir -r /requirements.txt
COPY . .
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.pem,target=/etc/ssl/certs/ca-certificates.crt \
    /core/bin/python -m pip install --quiet --no-cache-dir --no-deps .
USER 65532:65532
WORKDIR /
ENV PATH=/core/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
ENTRYPOINT ["python", "-m", "devstack.core"]
CMD ["serve"]
