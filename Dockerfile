# lockstep as a container: a sidecar next to a database, or one migration on any host.
#
#   docker build -t lockstep .
#   docker run --read-only -v shop:/var/lib/lockstep -v ./shop.yaml:/etc/lockstep/migration.yaml:ro lockstep
#
# The manifest says `state_dir: /var/lib/lockstep/shop`.  BASE is a Debian 12 of yours; pin it by its digest.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ARG REVISION=unknown
ENV DEBIAN_FRONTEND=noninteractive LOCKSTEP_COMMIT=${REVISION}
COPY . /src
WORKDIR /src
RUN ./run package

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lockstep" \
      org.opencontainers.image.description="Moves a live PostgreSQL database to a new home, exactly" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /src/build/package/*.deb /tmp/
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      ca-certificates /tmp/*.deb \
 && rm -rf /tmp/*.deb /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* \
 && mkdir -p /var/lib/lockstep \
 && chown 65532:65532 /var/lib/lockstep \
 && chmod 0755 /etc/lockstep \
 && lockstep version
USER 65532:65532
VOLUME /var/lib/lockstep
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["lockstep", "healthcheck", "/etc/lockstep/migration.yaml"]
ENTRYPOINT ["lockstep"]
CMD ["run", "/etc/lockstep/migration.yaml"]
