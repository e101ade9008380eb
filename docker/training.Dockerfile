# Training on NVIDIA GPUs. Build from the repository's root:
#   docker build -f docker/training.Dockerfile -t grasp-training .
#
# torch and Warp bring their own CUDA libraries; from the machine comes the driver alone.
FROM nvidia/cuda:12.8.1-base-ubuntu24.04

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV DEBIAN_FRONTEND=noninteractive

# The image's own versions of the distribution's packages: security fixes are to come in with each build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git libusb-1.0-0 make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --shell /bin/bash --uid 1001 grasp && install --directory --owner grasp /opt/grasp
USER 1001
WORKDIR /opt/grasp

# The same steps as on any machine: versions from constraints.txt, everything in .venv.
COPY --chown=grasp:grasp . .
# One more package index for torch: --build-arg TORCH_INDEX=URL.
ARG TORCH_INDEX=
RUN PIP_NO_CACHE_DIR=1 make venv PYTHON=python3 TORCH_INDEX="$TORCH_INDEX" && mkdir runs

# Runs go here: mount a folder of the host's.
VOLUME /opt/grasp/runs

ENV PATH=/opt/grasp/.venv/bin:$PATH \
    AMENT_PREFIX_PATH=/opt/grasp/.venv \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENTRYPOINT ["grasp"]
CMD ["--help"]
