#!/usr/bin/env bash
# Records fixtures/captures/*.pcap: tcpdump on the loopback between real clients and a real, private dockerd.
#
#   record.sh                 record every scenario
#   record.sh NAME...         record these only
#   record.sh --list          print the names
#
# Needs root, what install.sh installs (with --peers trixie sid), and cargo for graph-*. Files go to fixtures/captures of this tree, or to
# $CAPTURES. Everything secret-looking in them is made up here: see fixtures/captures/README.md.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"
# shellcheck source-path=SCRIPTDIR source=contexts.sh
. "$here/contexts.sh"

captures=${CAPTURES:-$here/../../fixtures/captures}
daemon_port=21750
adapter_port=21751

# One line per scenario: its name, the flavour of daemon and client, and the function that runs the client.
scenarios='
local-export                bookworm  client_local_export
tar-export                  bookworm  client_tar_export
context-cold                bookworm  client_context
context-warm                bookworm  client_context_again
run-build                   bookworm  client_run
failing-dockerfile          bookworm  client_failing
secret                      bookworm  client_secret
ssh-forward                 bookworm  client_ssh
cancelled-build             bookworm  client_cancelled
image-build                 bookworm  client_image
buildx-local-export         trixie    client_local_export
buildx-tar-export           trixie    client_tar_export
buildx-context              trixie    client_context
buildx-failing              trixie    client_failing
buildx-secret               trixie    client_secret
buildx-sid-local-export     sid       client_local_export
buildx-sid-cancelled        sid       client_cancelled
nested-local-export         trixie    client_local_export
nested-tar-export           trixie    client_tar_export
exec-tunnel-local-export    trixie    client_local_export
graph-local-export          trixie    client_graph
'

# ---- the clients ------------------------------------------------------------------------------------------------

# One command for both generations: 20.10 has a BuildKit client of its own, later ones run buildx.
build() {
    docker build --progress=plain --network=none "$@"
}

client_local_export() { build --output "type=local,dest=$work/out" "$work/contexts/tree"; }
client_tar_export() { build --output "type=tar,dest=$work/out.tar" "$work/contexts/tree"; }
client_context() { build "$work/contexts/tree"; }
client_context_again() { build "$work/contexts/tree"; }
client_image() { build -t made:latest "$work/contexts/tree"; }
client_run() { build "$work/contexts/run"; }
client_failing() { ! build "$work/contexts/failing"; }
client_secret() { build --secret "id=token,src=$work/token" "$work/contexts/secret"; }
client_ssh() { build --ssh default "$work/contexts/ssh"; }

# The scriptable client of this tree, which sends a graph of operations in place of a Dockerfile.
client_graph() {
    cargo run --quiet --manifest-path "$here/../../Cargo.toml" --package buildtap-fixtures --example solve-graph -- \
        "127.0.0.1:$daemon_port"
}

# Interrupts the client once the build says that its RUN is under way.
client_cancelled() {
    local pid
    # Shells start background commands with SIGINT ignored, and that is inherited.
    env --default-signal=INT docker build --progress=plain --network=none "$work/contexts/sleep" \
        >"$work/cancelled.log" 2>&1 &
    pid=$!
    wait_for 60 "the build to run" grep -q '[0-9] build is running' "$work/cancelled.log"
    kill -INT "$pid"
    ! wait "$pid"
}

# ---- recording --------------------------------------------------------------------------------------------------

# Starts tcpdump; a connection of the preparations must not be seen to end.
start_recording() {
    local port=$1 file=$2
    wait_for 30 "earlier connections to port $port to close" no_connections "$port"
    tcpdump -i lo -n -Z root -s 0 -U -B 65536 --immediate-mode -w "$file" "tcp port $port" 2>"$work/tcpdump.log" &
    tcpdump_pid=$!
    wait_for 10 "tcpdump to listen" grep -q 'listening on lo' "$work/tcpdump.log"
}

no_connections() {
    [ -z "$(ss -Htn state connected exclude time-wait "( sport = :$1 or dport = :$1 )")" ]
}

count_of() {
    sed -n "s/^\([0-9]*\) packets* $1.*/\1/p" "$work/tcpdump.log"
}

# Ends tcpdump once every connection is closed, and insists that it lost nothing.
stop_recording() {
    local port=$1
    wait_for 30 "the connections to port $port to close" no_connections "$port"
    kill -INT "$tcpdump_pid"
    wait "$tcpdump_pid" || true
    tcpdump_pid=
    [ "$(count_of 'dropped by kernel')" = 0 ] || die "tcpdump dropped packets: $(cat "$work/tcpdump.log")"
    # The filter counts each loopback packet twice (out and in); the file holds it once.
    [ "$(count_of captured)" -gt 0 ] || die "nothing was captured"
}

start_adapter() {
    "$here/grpc-adapter.py" --socket "$work/d/docker.sock" --port "$adapter_port" >"$work/adapter.log" &
    adapter_pid=$!
    wait_for 10 "the adapter to listen" grep -q listening "$work/adapter.log"
}

# run_client FUNCTION NAME: keeps what the client printed for the case that it did not end as expected.
run_client() {
    "$1" >"$work/client.log" 2>&1 || die "$2: the client did not end as expected: $(tail -n 20 "$work/client.log" "$work/cancelled.log" 2>/dev/null)"
}

record() {
    local name=$1 flavour=$2 client=$3 port=$daemon_port file=$work/$1.pcap
    "$here/daemon.sh" start "$work/d" --flavour "$flavour" --port "$daemon_port" >/dev/null
    eval "$("$here/daemon.sh" env "$work/d")"
    case $name in
        context-warm) "$client" >/dev/null 2>&1 ;;
        ssh-forward) make_ssh_image "$work/base-ssh" ;;
        nested-*)
            start_adapter
            port=$adapter_port
            export BUILDX_BUILDER=lab
            docker buildx create --name lab --driver remote "tcp://127.0.0.1:$adapter_port" >/dev/null
            ;;
        exec-tunnel-*)
            start_adapter
            make_fake_buildkit "$work/fake-buildkit" "$adapter_port"
            docker buildx create --name lab --driver docker-container \
                --driver-opt image=fake-buildkit:latest,network=host "$DOCKER_HOST" >/dev/null
            export BUILDX_BUILDER=lab
            docker buildx inspect --bootstrap lab >"$work/bootstrap.log" 2>&1 || die "$(cat "$work/bootstrap.log")"
            ;;
    esac
    start_recording "$port" "$file"
    run_client "$client" "$name"
    stop_recording "$port"
    mv "$file" "$captures/"
    printf '%-28s %s bytes\n' "$name" "$(stat -c %s "$captures/$name.pcap")"
}

tidy() {
    if [ -n "${tcpdump_pid:-}" ]; then stop_pid "$tcpdump_pid" 5; fi
    tcpdump_pid=
    if [ -n "${adapter_pid:-}" ]; then stop_pid "$adapter_pid" 5; fi
    adapter_pid=
    if [ -e "$work/d/dockerd.pid" ]; then "$here/daemon.sh" stop "$work/d"; fi
    rm -rf "$work/d" "$work"/out*
}

finish() {
    if [ -n "${SSH_AGENT_PID:-}" ]; then stop_pid "$SSH_AGENT_PID" 5; fi
    rm -rf "$work"
}

if [ "${1:-}" = --list ]; then
    awk 'NF { print $1 }' <<<"$scenarios"
    exit
fi
need_root
unset SSH_AGENT_PID
# A fixed name: clients tell the daemon where they work, and two recordings should differ in little.
work=/tmp/buildtap-record
mkdir -m 0700 "$work" || die "another recording is under way, or $work is left from one: remove it"
trap finish EXIT
mkdir -p "$captures"
captures=$(realpath "$captures")
make_contexts "$work/contexts"
make_secret "$work/token"
eval "$(ssh-agent -s -a "$work/agent.sock")" >/dev/null
ssh-keygen -q -t ed25519 -N '' -C throw-away-key -f "$work/key"
ssh-add -q "$work/key"

while read -r name flavour client; do
    [ -n "$name" ] || continue
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    # In a shell of its own: each daemon brings its own environment.
    (
        trap tidy EXIT
        cd "$work/contexts"
        record "$name" "$flavour" "$client"
    ) </dev/null
done <<<"$scenarios"
