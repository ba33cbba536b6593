# A static binary in an empty image. The digest is that of the index of all platforms: a tag may name another image tomorrow. Change it with
# the version, to what `docker buildx imagetools inspect rust:VERSION-alpine` prints.
FROM rust:1.95-alpine@sha256:606fd313a0f49743ee2a7bd49a0914bab7deedb12791f3a846a34a4711db7ed2 AS build
# The C and assembly parts of the TLS library and of the allocator need a compiler and the headers of the C library.
RUN apk add --no-cache ca-certificates gcc musl-dev
WORKDIR /build
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY src src
COPY templates templates
COPY catalog catalog
COPY benches benches
# what the console says about each reason
COPY docs/reference/conditions.md docs/reference/conditions.md
RUN RUSTFLAGS="-C link-arg=-Wl,-z,pack-relative-relocs" cargo build --profile dist --locked --features object-store --bin pollinator

FROM scratch
# The authorities that sign certificates of providers and callbacks; mount others over them.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/dist/pollinator /pollinator
USER 65532:65532
ENTRYPOINT ["/pollinator"]
