#!/usr/bin/env bash
# How much longer a real build takes through buildtap: docker builds the same large context directly and through a release
# build of it, in turns, and the median of the pairs' ratios is printed.
#
#   slowdown.sh [--rounds N] [--size MIB] [--bar RATIO]
#
# Without anything said: 9 rounds of a 1024 MiB context, and failure above 1.05. Nearly all of the build's time is the
# upload of the context, which is what buildtap stands in the way of. Worth running on a quiet machine only.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

rounds=9
size=1024
bar=1.05
while [ $# -gt 0 ]; do
    case $1 in
        --rounds) rounds=${2:?} ;;
        --size) size=${2:?} ;;
        --bar) bar=${2:?} ;;
        *) die "unknown argument '$1': see the head of this script" ;;
    esac
    shift 2
done

need_root
top=$(realpath "$here/../..")
cargo build --release --quiet --manifest-path "$top/Cargo.toml" -p buildtap
buildtap=${CARGO_TARGET_DIR:-$top/target}/release/buildtap

work=$(mktemp -d /tmp/tap-slow-XXXXXX)
finish() {
    if [ -e "$work/d/dockerd.pid" ]; then "$here/daemon.sh" stop "$work/d"; fi
    rm -rf "$work"
}
trap finish EXIT
"$here/daemon.sh" start "$work/d" >/dev/null
eval "$("$here/daemon.sh" env "$work/d")"

mkdir "$work/context"
head -c "${size}M" /dev/urandom >"$work/context/large"
# The mount needs the whole context, and copies none of it.
printf 'FROM base:latest\nRUN --mount=type=bind,target=/context true\n' >"$work/context/Dockerfile"

# build COMMAND...: seconds that a build takes, in microseconds. A new date makes the client send the file again.
build() {
    local begun ended
    touch "$work/context/large"
    sync
    begun=${EPOCHREALTIME/./}
    "$@" docker build --progress=plain --network=none "$work/context" >"$work/log" 2>&1 || die "$(cat "$work/log")"
    ended=${EPOCHREALTIME/./}
    printf '%s\n' "$((ended - begun))"
}

median() {
    sort -g | awk '{ value[NR] = $1 } END { print (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2 }'
}

build env >/dev/null
build "$buildtap" run -- >/dev/null
grep -q 'nothing abnormal' "$work/log" || die "buildtap saw something else than a healthy build: $(cat "$work/log")"
for ((round = 1; round <= rounds; round++)); do
    # In turns, so that what drifts hits both.
    if ((round % 2)); then
        direct=$(build env)
        tapped=$(build "$buildtap" run --)
    else
        tapped=$(build "$buildtap" run --)
        direct=$(build env)
    fi
    awk -v d="$direct" -v t="$tapped" -v n="$round" \
        'BEGIN { printf "round %d: direct %.2f s, through buildtap %.2f s, ratio %.3f\n", n, d / 1e6, t / 1e6, t / d }' >&2
    printf '%s %s\n' "$direct" "$tapped" >>"$work/times"
done

ratio=$(awk '{ print $2 / $1 }' "$work/times" | median)
awk -v size="$size" -v d="$(cut -d' ' -f1 "$work/times" | median)" -v t="$(cut -d' ' -f2 "$work/times" | median)" -v r="$ratio" \
    'BEGIN { printf "%d MiB: direct %.2f s, through buildtap %.2f s, median ratio %.3f\n", size, d / 1e6, t / 1e6, r }'
awk -v r="$ratio" -v bar="$bar" 'BEGIN { exit !(r <= bar) }' || die "a build takes more than $bar times as long"
