# Two images: `services` holds the program of every service and of ops, `development` adds paymint for a local chain.
# Neither has a shell or root. See compose.yaml.
FROM rust:1.95-bookworm AS build
WORKDIR /paymint
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/paymint/target \
    cargo build --locked --release \
        -p api -p payment-sender -p confirmer -p mint-projector -p operator -p read-projector -p ops \
    && mkdir -p /programs/services \
    && cd target/release \
    && cp api payment-sender confirmer mint-projector operator read-projector ops /programs/services/

FROM build AS build-development
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/paymint/target \
    cargo build --locked --release -p paymint --features dev \
    && mkdir -p /programs/development \
    && cp target/release/paymint /programs/development/

# With certificate authorities and the C library, without a shell.
FROM gcr.io/distroless/cc-debian12:nonroot AS base
ENV PATH=/usr/local/bin
USER nonroot

FROM base AS development
COPY --from=build-development /programs/development/ /usr/local/bin/
ENTRYPOINT ["paymint"]

# The last stage is what `docker build` makes without a target.
FROM base AS services
COPY --from=build /programs/services/ /usr/local/bin/
ENTRYPOINT ["api"]
