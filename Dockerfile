# The image of one service: the service, the libraries that it depends on and what they need, and nothing else.
#   docker build --build-arg SERVICE=users -t quartet-users .      (users, groups, audit or metrics)
ARG PYTHON=python:3.13-slim

# ---- what to install: the workspace packages of the service, and its part of requirements.lock ------------------------
FROM ${PYTHON} AS requirements
ARG SERVICE
WORKDIR /src
COPY requirements.lock ./
COPY deploy/subset.py deploy/
COPY libs libs
COPY services services
RUN package=quartet-${SERVICE:?is not set. Use --build-arg SERVICE= with users, groups, audit or metrics} \
    && python deploy/subset.py "$package" >runtime.txt \
    && python deploy/subset.py hatchling >build.txt \
    && for folder in $(python deploy/subset.py --folders "$package"); do \
        mkdir -p "packages/$folder" && cp -r "$folder/." "packages/$folder" || exit 1; \
    done

# ---- dependencies: installed again only when that part of the lock changes --------------------------------------------
FROM ${PYTHON} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY --from=requirements /src/runtime.txt /
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/quartet \
    && python -m pip --python /opt/quartet/bin/python install --require-hashes -r /runtime.txt

# ---- our own packages as wheels: built again only when one of them changes --------------------------------------------
FROM ${PYTHON} AS wheels
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY --from=requirements /src/build.txt /
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r /build.txt
WORKDIR /src
COPY --from=requirements /src/packages ./
RUN for package in libs/* services/*; do \
        /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels "./$package" || exit 1; \
    done

# ---- the image -------------------------------------------------------------------------------------------------------
FROM ${PYTHON}
ARG SERVICE
LABEL org.opencontainers.image.title="quartet-${SERVICE}" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin quartet \
    && install -d -m 700 -o quartet -g quartet /var/lib/quartet
COPY --from=dependencies /opt/quartet /opt/quartet
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    python -m pip --python /opt/quartet/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl \
    && python -m pip --python /opt/quartet/bin/python check \
    && printf '#!/bin/sh\n[ "$1" != worker ] || export MALLOC_TRIM_THRESHOLD_=131072\nexec python -m quartet_%s "$@"\n' "$SERVICE" >/opt/quartet/bin/service \
    && chmod 755 /opt/quartet/bin/service
ENV PATH=/opt/quartet/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    QUARTET_HOST=0.0.0.0 \
    QUARTET_PRIVATE_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000 9000
STOPSIGNAL SIGTERM
# api, worker or migrate
ENTRYPOINT ["service"]
CMD ["api"]
