# The command line in an image: docker build -t kie-hvqa . && docker run --rm -v "$PWD:/work" kie-hvqa eval …
# On a GPU: --build-arg BASE=nvidia/cuda:13.0.1-devel-ubuntu24.04 (DeepSpeed compiles with its nvcc), and docker run --gpus all.
# The base has a Python below 3.13, where RapidOCR ends.
# What is installed and how is in .ci/install, which `make release-check` runs without Docker.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
ARG EXTRAS=all
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV DEBIAN_FRONTEND=noninteractive
# OpenCV needs libGL, DeepSpeed a compiler, and Tesseract is Debian's. Versions are the base's own.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv python3-dev g++ libgl1 libglib2.0-0 tesseract-ocr \
    && rm -rf /var/lib/apt/lists/*
COPY . /opt/kie-hvqa
RUN /opt/kie-hvqa/.ci/install /opt/venv /opt/kie-hvqa "${EXTRAS}"
ENV PATH=/opt/venv/bin:$PATH
RUN useradd --create-home --uid 1001 reader && mkdir /work && chown reader /work
USER 1001
WORKDIR /work
ENTRYPOINT ["kie-hvqa"]
CMD ["--help"]
