#!/usr/bin/env bash
# Build the image of docker/Dockerfile and run the whole of docker-compose.yml from it, on a machine
# without a container engine: buildah in chroots, a network namespace a service. Takes minutes,
# needs root, and everything goes to a temporary folder, which it removes.
#
#   sudo docker/try.sh
#
# Debian's packages buildah, debootstrap, iproute2, openssl; python3 with PyYAML and NumPy.
#   PYTHON                that python3
#   KINFOLD_TRY_SUITE     Debian release of the base; bookworm
#   KINFOLD_TRY_BASES     a folder that keeps the two base systems for the next time
#   KINFOLD_TRY_BUILD     more options for `buildah build`
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
suite=${KINFOLD_TRY_SUITE:-bookworm}

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'docker/try.sh: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "must be run by root: it makes chroots and network namespaces"
for tool in buildah debootstrap ip openssl unshare setpriv; do
    command -v "$tool" > /dev/null || fail "needs $tool on PATH"
done
"$python" -c 'import yaml, numpy' || fail "needs a python3 with PyYAML and NumPy; set PYTHON"

work=$(mktemp -d /tmp/kinfold-try.XXXXXX)
bases=${KINFOLD_TRY_BASES:-$work/bases}
buildah=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs)
clean_up() {
    status=$?
    trap - EXIT
    "${buildah[@]}" umount --all > /dev/null 2>&1 || true
    if grep -q " $work/" /proc/mounts; then
        printf 'something is still mounted below %s; left as it is\n' "$work" >&2
    else
        rm -rf "$work"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

base() { # name, packages: a Debian of its own
    if [ ! -e "$bases/$1/.complete" ]; then
        mkdir -p "$bases"
        debootstrap --variant=minbase --include="$2" "$suite" "$bases/$1" > "$work/$1.log" 2>&1 \
            || { tail -20 "$work/$1.log" >&2; fail "debootstrap of $1 failed"; }
        touch "$bases/$1/.complete"
    fi
    container=$("${buildah[@]}" from scratch)
    "${buildah[@]}" add --quiet "$container" "$bases/$1" / > /dev/null
    "${buildah[@]}" config \
        --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    # The names that the images of the compose file have.
    case $1 in
        python) "${buildah[@]}" run --isolation chroot "$container" ln -sf python3 /usr/bin/python ;;
        others) "${buildah[@]}" run --isolation chroot "$container" ln -sf busybox /usr/bin/wget ;;
    esac
    "${buildah[@]}" commit --quiet --rm "$container" "localhost/try-$1" > /dev/null
}

say "Two base systems: Debian $suite with Python, and with Redis, nginx and Prometheus"
base python python3,python3-venv
base others redis-server,nginx-light,prometheus,busybox

say "The image of docker/Dockerfile"
# pip's settings on this machine, and the folders that they name, are lent to the build.
"$python" "$here/try_pip.py" "$work/pip.conf" > "$work/pip.mounts"
mapfile -t mounts < "$work/pip.mounts"
# shellcheck disable=SC2086
"${buildah[@]}" build --isolation chroot --format docker --layers=false \
    --build-arg BASE=localhost/try-python --secret "id=pip,src=$work/pip.conf" \
    "${mounts[@]}" ${KINFOLD_TRY_BUILD:-} \
    --file "$here/Dockerfile" --tag localhost/try-kinfold "$here/.."

say "The services of docker/docker-compose.yml"
"$python" "$here/try_run.py" "$work"

say "OK"
