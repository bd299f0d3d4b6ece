# One static binary in an empty image, with a bundle of authorities, as a user that is not root.
#
#   docker build --build-arg RUST_IMAGE=docker.io/library/rust@sha256:… -t qiwi-gateway .
#
# Two builds of one commit from one base, given by its digest, have the same binary: paths are
# cut out of it, versions come from Cargo.lock, and no clock is read.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
ENV CARGO_INCREMENTAL=0 \
    CARGO_PROFILE_RELEASE_DEBUG=none \
    CARGO_PROFILE_RELEASE_STRIP=symbols \
    SOURCE_DATE_EPOCH=0
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY src src
# Cargo wants to see every target it is told of, built or not.
COPY benches benches
COPY tests tests
# The flags are for the gateway, not for build scripts, which is why the target is named.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && export RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,--build-id=none --remap-path-prefix=/src=/qiwi-gateway --remap-path-prefix=${CARGO_HOME}=/cargo" \
 && cargo build --release --locked --bin qiwi-gateway --target "${target}" \
 && mkdir -p /image/usr/local/bin /image/etc/ssl/certs /empty \
 && cp "target/${target}/release/qiwi-gateway" /image/usr/local/bin/ \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && find /image /empty -exec touch --no-dereference --date=@0 {} +

FROM scratch
LABEL org.opencontainers.image.title="qiwi-gateway" \
      org.opencontainers.image.description="A gRPC gateway in front of QIWI Wallet, QIWI P2P invoices and QIWI PAY" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image/ /
# What the gateway may write to, where no volume is mounted.
COPY --from=build --chown=65532:65532 /empty /tmp
COPY --from=build --chown=65532:65532 /empty /var/lib/qiwi-gateway
USER 65532:65532
ENV QIWI_GATEWAY_STATE__PATH=/var/lib/qiwi-gateway
EXPOSE 50051 8080 9464
ENTRYPOINT ["/usr/local/bin/qiwi-gateway"]
CMD ["serve"]
