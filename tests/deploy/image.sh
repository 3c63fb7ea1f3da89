#!/bin/sh
# Builds deploy/Dockerfile where there is no container engine and no registry: with stand-ins for its two bases, made of
# the same Debian packages. Needs root, Debian's mirror, and Debian's buildah and mmdebstrap; takes some four minutes.
#
#   sh tests/deploy/image.sh /tmp/image
#   EKYC_TEST_IMAGE=/tmp/image .venv/bin/python -m pytest tests/acceptance/test_read_only.py
set -eu
tree="${1:?say where to unpack the image}"
cd "$(dirname "$0")/../.."
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# Without layers on top of each other: works in containers, too.
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot

# What gcr.io/distroless/python3-debian13 has that matters here: see python3/config.bzl of GoogleContainerTools/distroless.
runtime=base-files,netbase,tzdata,ca-certificates,libc6,libssl3t64,libstdc++6,libbz2-1.0,libdb5.3t64,libexpat1
runtime=$runtime,liblzma5,libsqlite3-0,libuuid1,libncursesw6,libtinfo6,zlib1g,libcrypt1,libreadline8t64,libffi8
runtime=$runtime,libpython3.13-minimal,libpython3.13-stdlib,python3.13-minimal
mmdebstrap --quiet --variant=extract --include="$runtime" \
    --extract-hook='ln -s python3.13 "$1/usr/bin/python3"' trixie "$work/runtime.tar" http://deb.debian.org/debian
# What python:3.13-slim-trixie has: an interpreter below /usr/local, and pip.
mmdebstrap --quiet --variant=minbase --include=python3.13-venv,python3-pip,ca-certificates \
    --customize-hook='ln -s /usr/bin/python3.13 "$1/usr/local/bin/python3"' trixie "$work/build.tar" http://deb.debian.org/debian
for base in build runtime; do
    container="$(buildah from scratch)"
    buildah add --quiet "$container" "$work/$base.tar" / >"$work/log"
    buildah commit --quiet --rm "$container" "localhost/stand-in-$base" >"$work/log"
done

# pip trusts whom this machine trusts.
buildah build --quiet --format docker --network host --volume /etc/ssl/certs:/etc/ssl/certs:ro \
    --build-arg BUILD=localhost/stand-in-build --build-arg RUNTIME=localhost/stand-in-runtime \
    --file deploy/Dockerfile --tag localhost/ekyc-worker:0.1.0 .
container="$(buildah from localhost/ekyc-worker:0.1.0)"
mkdir -p "$tree"
cp -a "$(buildah mount "$container")/." "$tree"
mkdir -p "$tree/proc" "$tree/dev" "$tree/tmp"
buildah rm "$container" >"$work/log"
du -sh "$tree"
