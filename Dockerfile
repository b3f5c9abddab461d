# A wheel is built in the first stage; the second has the interpreter, the gateway and nothing to
# build with. The base is an argument, so that an image of your own (pinned by digest) can be used:
#   docker build --build-arg BASE_IMAGE=python:3.13-slim-bookworm -t knowledge-base-gateway .
ARG BASE_IMAGE=python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/gateway
COPY . .
RUN /opt/gateway/bin/python -m pip install --no-cache-dir .

FROM ${BASE_IMAGE}
COPY --from=build /opt/gateway /opt/gateway
# A number, not a name: Kubernetes' runAsNonRoot can only check numbers.
USER 65532:65532
WORKDIR /tmp
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_SERVER_HOST=0.0.0.0
EXPOSE 8080
ENTRYPOINT ["gateway"]
CMD ["serve"]
