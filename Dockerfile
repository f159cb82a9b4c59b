# The gateway and nothing else. The binary is built before, by the Go on the
# machine, so that a build needs no network beyond the base image:
#
#   CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -ldflags '-s -w' -o bin/linux-amd64/spillway ./functions/azure
#   docker build --platform linux/amd64 -t spillway .
#   docker run -p 8080:8080 -v "$PWD/gateway.yaml:/etc/spillway/gateway.yaml:ro" spillway
#
# The configuration is that file, or its text in SPILLWAY_CONFIG_YAML. There is no
# shell for a HEALTHCHECK: let the orchestrator ask GET /spillway/healthz.
ARG BASE=gcr.io/distroless/static-debian12:nonroot
FROM ${BASE}
ARG TARGETARCH
COPY --chmod=0755 bin/linux-${TARGETARCH}/spillway /spillway
WORKDIR /etc/spillway
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/spillway"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
