#!/usr/bin/env bash
# A private dockerd with a base image, in a directory of its own. Several can run side by side.
#
#   daemon.sh start DIR [--flavour bookworm|trixie|sid] [--port PORT|auto]
#             start it, wait until it answers, print its address (the TCP one if a port was asked for)
#   daemon.sh env DIR [--flavour ...]
#             print shell code that points clients of a flavour (the daemon's own, unless given) at it:
#             eval "$(daemon.sh env DIR)"
#   daemon.sh stop DIR
#             end it, unmount and remove its data; its log stays in DIR/log
#
# The socket is DIR/docker.sock. The image base:latest is a static busybox. There is no bridge network: RUN needs
# --network=none or --network=host. dockerd and containerd are ended by the pid written in DIR.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    sed -n '2,/^set -e/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

ping_daemon() {
    local reply
    reply=$(printf 'GET /_ping HTTP/1.0\r\nHost: lab\r\n\r\n' | socat -t 5 - "UNIX-CONNECT:$dir/docker.sock") || return 1
    [[ $reply == *OK* ]]
}

alive_and_answering() {
    gone "$(cat "$dir/dockerd.pid")" && die "dockerd did not start; its log ends:"$'\n'"$(tail -n 15 "$dir/log")"
    ping_daemon
}

port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port nobody listens on, below the range that outgoing connections use.
free_port() {
    local candidate
    while :; do
        candidate=$((20000 + RANDOM % 10000))
        port_is_free "$candidate" && break
    done
    printf '%s\n' "$candidate"
}

# A tar of nothing but a static busybox and its usual names; every date and owner in it is fixed.
import_base() {
    local tree=$dir/base
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,etc,tmp,root}
    install -m 0755 "$(command -v busybox)" "$tree/bin/busybox"
    local name
    for name in sh cat echo ls mkdir nc sleep touch true wc; do
        ln -s busybox "$tree/bin/$name"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$tree/etc/passwd"
    tar -C "$tree" --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner -cf - . |
        DOCKER_HOST=unix://$dir/docker.sock docker import --change 'ENV PATH=/bin' --change 'CMD ["sh"]' - base:latest \
            >/dev/null
    rm -rf "$tree"
}

start() {
    [ ! -e "$dir/dockerd.pid" ] || die "a daemon runs in $dir: stop it first"
    # A unix socket path has 107 characters at most; dockerd makes longer ones below exec/ than this one.
    [ "${#dir}" -le 60 ] || die "the directory's name is too long for the sockets in it: $dir"
    PATH=$(flavour_path "$flavour")
    trap '[ "$?" -eq 0 ] || stop' EXIT
    mkdir -p "$dir"
    chmod 0700 "$dir"
    printf '%s\n' "$flavour" >"$dir/flavour"

    printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >"$dir/containerd.toml"
    setsid containerd --config "$dir/containerd.toml" --address "$dir/c.sock" \
        --root "$dir/containerd" --state "$dir/c" </dev/null >"$dir/containerd.log" 2>&1 &
    printf '%s\n' "$!" >"$dir/containerd.pid"
    wait_for 30 "containerd to listen (see $dir/containerd.log)" test -S "$dir/c.sock"

    local listen=(-H "unix://$dir/docker.sock")
    if [ "$port" = auto ]; then
        port=$(free_port)
    fi
    if [ -n "$port" ]; then
        port_is_free "$port" || die "port $port of 127.0.0.1 is taken"
        # DOCKERD_TLS off must be said, or newer daemons wait some seconds before they listen on TCP.
        listen+=(-H "tcp://127.0.0.1:$port" --tls=false)
    fi
    setsid dockerd "${listen[@]}" --containerd "$dir/c.sock" --data-root "$dir/root" --exec-root "$dir/exec" \
        --pidfile "$dir/dockerd.own-pid" --iptables=false --ip6tables=false --bridge=none --group root \
        </dev/null >"$dir/log" 2>&1 &
    printf '%s\n' "$!" >"$dir/dockerd.pid"
    wait_for 60 "dockerd to answer /_ping (see $dir/log)" alive_and_answering
    import_base
    if [ -n "$port" ]; then
        printf 'tcp://127.0.0.1:%s\n' "$port"
    else
        printf 'unix://%s/docker.sock\n' "$dir"
    fi | tee "$dir/address"
}

stop() {
    local name pid mount
    for name in dockerd containerd; do
        [ -s "$dir/$name.pid" ] || continue
        pid=$(cat "$dir/$name.pid")
        # The number may have gone to somebody else since.
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null || true)" = "$name" ]; then
            stop_pid "$pid" 30
        fi
        rm -f "$dir/$name.pid"
    done
    while IFS= read -r mount; do
        umount -l "$mount" || true
    done < <(awk -v top="$dir/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
    rm -rf "${dir:?}"/{root,exec,c,containerd,config-*,c.sock*,docker.sock,address,dockerd.own-pid}
}

print_env() {
    local config path
    [ -s "$dir/address" ] || die "no daemon runs in $dir"
    path=$(flavour_path "$flavour")
    config=$dir/config-$flavour
    mkdir -p "$config"
    if [ "$flavour" != bookworm ]; then
        ln -sfn "$lab_dir/$flavour/cli-plugins" "$config/cli-plugins"
    fi
    printf 'export DOCKER_HOST=%q DOCKER_CONFIG=%q DOCKER_BUILDKIT=1 PATH=%q:"$PATH"\n' "$(cat "$dir/address")" "$config" "$path"
}

[ $# -ge 2 ] || usage
action=$1
dir=$(realpath -m "$2")
shift 2
flavour=$(cat "$dir/flavour" 2>/dev/null || echo bookworm)
port=
[ "$action" != start ] || flavour=bookworm
while [ $# -gt 0 ]; do
    case $1 in
        --flavour) flavour=${2:?} ;;
        --port) port=${2:?} ;;
        *) usage ;;
    esac
    shift 2
done

need_root
case $action in
    start) start ;;
    stop) stop ;;
    env) print_env ;;
    *) usage ;;
esac
