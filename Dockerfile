# The job as an image. Build it in the root of the repository:
#
#   docker build --tag segjob .
#
# BASE_IMAGE   an image with /bin/sh, Python 3.11 to 3.14 as `python`, its venv module, and pip 22.3 or later
# TORCH        another build or version of torch than the one of constraints.txt, as in torch==2.13.0+cpu
# PIP_ARGS     what pip is told besides, such as an index that has this build: --extra-index-url ADDRESS
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ARG TORCH=""
ARG PIP_ARGS=""
WORKDIR /build
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY segjob segjob
COPY migrations migrations
COPY sql sql
# The backend that builds the wheel is held to the same versions: older releases of pip take them from the first
# variable, newer ones from the second.
RUN PIP_CONSTRAINT=/build/constraints.txt PIP_BUILD_CONSTRAINT=/build/constraints.txt \
    pip wheel --no-cache-dir --no-deps --wheel-dir dist .
# One run of pip for everything; the constraint of torch is taken out because TORCH may say otherwise.
RUN python -m venv --without-pip /opt/segjob \
 && grep -v '^torch==' constraints.txt > other-constraints.txt \
 && pip --python /opt/segjob/bin/python install --no-cache-dir $PIP_ARGS --constraint other-constraints.txt \
    "${TORCH:-$(grep '^torch==' constraints.txt)}" "$(echo dist/segjob-*.whl)[report]" \
 # What only a compiler and torch's own tests read: a tenth of the image.
 && rm -rf /opt/segjob/lib/python3*/site-packages/torch/include /opt/segjob/lib/python3*/site-packages/torch/test

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="segjob" \
      org.opencontainers.image.description="Turns a customer table in Postgres into published segments" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/segjob /opt/segjob
# The root may be read-only: the job writes temporary files to /tmp alone, and reports and exports where it is told to.
ENV PATH=/opt/segjob/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SEGJOB_CONFIG=/etc/segjob/segjob.yaml
VOLUME /tmp
# A number, so that a cluster can see that it is not root; any other number works as well.
USER 65532:65532
ENTRYPOINT ["segjob"]
CMD ["--help"]
