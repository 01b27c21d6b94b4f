# `nomyo proxy` in a container: docs/deploy.md. The root may be read-only, no capability is needed, nothing is written.
FROM rust:1.95-slim-trixie AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY deploy/build-requirements.txt deploy/requirements.txt deploy/
# Two environments: the tools stay here, so the image has neither pip nor maturin.
RUN python3 -m venv /opt/build \
    && python3 -m venv --without-pip /opt/nomyo \
    && /opt/build/bin/pip install --quiet --no-cache-dir --require-hashes --requirement deploy/build-requirements.txt \
    && /opt/build/bin/pip --python /opt/nomyo/bin/python install --quiet --no-cache-dir --require-hashes --requirement deploy/requirements.txt
COPY . .
RUN MATURIN_NO_MISSING_BUILD_BACKEND_WARNING=1 /opt/build/bin/maturin build --quiet --release --locked --interpreter /opt/nomyo/bin/python --out /dist \
    && /opt/build/bin/pip --python /opt/nomyo/bin/python install --quiet --no-cache-dir --no-deps /dist/*.whl \
    && /opt/nomyo/bin/python -m compileall -q /opt/nomyo/lib

FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin nomyo
COPY --from=build /opt/nomyo /opt/nomyo
COPY deploy/entrypoint.sh deploy/healthcheck.py /opt/nomyo/deploy/
ENV PATH=/opt/nomyo/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8800
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["python", "-I", "/opt/nomyo/deploy/healthcheck.py"]
ENTRYPOINT ["/opt/nomyo/deploy/entrypoint.sh"]
# What comes from outside the container must reach it. Without TLS (--tls-cert), publish the port on 127.0.0.1 alone.
CMD ["nomyo", "proxy", "--host", "0.0.0.0", "--allow-remote"]
