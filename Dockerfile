# The build stage assembles the file system with the steps of image/rootfs.py, which `make rootfs`
# runs too; the image is that folder and nothing else. Any image with Python 3.11 or newer, glibc
# and pip can be the base: --build-arg BASE_IMAGE=...
ARG BASE_IMAGE=python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY image/rootfs.py image/
RUN python3 image/rootfs.py interpreter /rootfs
# With wheels in wheelhouse/ (`make wheelhouse`), nothing is downloaded.
COPY requirements/run.txt wheelhous[e] /wheelhouse/
RUN python3 image/rootfs.py dependencies /rootfs --requirements=/wheelhouse/run.txt --wheelhouse=/wheelhouse
COPY pyproject.toml README.md LICENSE ./
COPY metricsapi/ metricsapi/
RUN python3 image/rootfs.py package /rootfs

FROM scratch
COPY --from=build /rootfs/ /
LABEL org.opencontainers.image.title="metricsapi" \
      org.opencontainers.image.description="Metrics API server for Kubernetes, metrics-server compatible" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
ENV PATH=/usr/local/bin
EXPOSE 10250
# The image is of no use if this fails.
RUN ["metricsapi", "serve", "--version"]
ENTRYPOINT ["metricsapi", "serve"]
