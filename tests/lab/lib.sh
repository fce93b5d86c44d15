# Shared by the scripts of this folder; sourced, not run.
# shellcheck shell=bash

# Where newer peers live: see install.sh.
lab_dir=${BUILDTAP_LAB:-/var/cache/buildtap-lab}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "this needs root (dockerd, mounts and packet capture): run it with sudo"
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds, or fail saying WHAT did not happen.
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || { printf '%s: gave up waiting: %s\n' "${0##*/}" "$what" >&2; return 1; }
        sleep 0.05
    done
}

# gone PID: true once no such process runs.
gone() {
    ! kill -0 "$1" 2>/dev/null
}

# stop_pid PID SECONDS: terminate, then kill what does not listen.
stop_pid() {
    gone "$1" && return 0
    kill "$1" 2>/dev/null || return 0
    wait_for "$2" "process $1 to end" gone "$1" || { kill -9 "$1" 2>/dev/null || true; }
}

# flavour_path FLAVOUR: a PATH on which docker, dockerd, containerd and runc are those of the flavour.
flavour_path() {
    case $1 in
        bookworm) printf '/usr/sbin:/usr/bin:/sbin:/bin\n' ;;
        trixie | sid)
            [ -e "$lab_dir/$1/complete" ] || die "no $1 peers in $lab_dir: run tests/lab/install.sh --peers $1"
            printf '%s/%s/bin:/usr/sbin:/usr/bin:/sbin:/bin\n' "$lab_dir" "$1"
            ;;
        *) die "unknown flavour '$1': bookworm, trixie or sid" ;;
    esac
}
