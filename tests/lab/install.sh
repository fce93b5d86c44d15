#!/usr/bin/env bash
# Installs what the tests need on a Debian 12 machine.
#
#   install.sh                        Debian's own packages: dockerd, capture tools, small helpers
#   install.sh --peers SUITE...       newer peers (docker, buildx, dockerd, containerd, runc) of SUITE, which is
#                                     trixie or sid, into ${BUILDTAP_LAB:-/var/cache/buildtap-lab}/SUITE
#   install.sh --refresh --peers ...  the same, again, even if a complete set is there
#
# An OpenTelemetry receiver that somebody else wrote (rotel) goes into a Python environment of its own, in
# ${BUILDTAP_LAB:-/var/cache/buildtap-lab}/otlp.
#
# Running it twice changes nothing. Newer peers are unpacked, never installed: outside of the private directory only
# Debian's packages for this machine are touched. The mirror is the one this machine's apt uses.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(
    ca-certificates git openssh-client openssl python3 python3-hpack python3-venv
    docker.io busybox-static socat
    tcpdump tshark wireshark-common
    patchelf shellcheck pyflakes3
)
receiver=rotel==0.0.1a15
peer_packages=(docker.io docker-cli docker-buildx containerd runc libc6 libseccomp2)

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o APT::Sandbox::User=root "$@"
}

missing_packages() {
    local name
    for name in "${packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)" = installed ] || printf '%s\n' "$name"
    done
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -gt 0 ] || return 0
    printf 'installing %s\n' "${missing[*]}"
    apt update
    apt install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}

# A receiver for spans and metrics, with pip and the index that this machine's pip uses.
install_receiver() {
    local dir=$lab_dir/otlp
    if [ "$(cat "$dir/complete" 2>/dev/null)" = "$receiver" ] && [ -z "$refresh" ]; then
        return 0
    fi
    printf 'fetching %s into %s\n' "$receiver" "$dir"
    rm -rf "$dir"
    # Nobody who has no index of Python packages has to: the tests that need the receiver say that they are skipped.
    if ! python3 -m venv "$dir" || ! "$dir/bin/pip" install --quiet --disable-pip-version-check "$receiver"; then
        rm -rf "$dir"
        printf 'install.sh: cannot fetch %s: tests with it are skipped\n' "$receiver" >&2
        return 0
    fi
    ln -sf "$(find "$dir/lib" -name rotel-agent -type f | head -n 1)" "$dir/bin/rotel-agent"
    "$dir/bin/rotel-agent" --version >/dev/null || die "the receiver in $dir does not run on this machine"
    printf '%s\n' "$receiver" >"$dir/complete"
}

# The repository this machine takes Debian itself (not its security updates) from.
mirror() {
    local found
    found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
    if [ -z "$found" ]; then
        apt update
        found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
    fi
    [ -n "$found" ] || die "apt knows no Debian repository: configure one in /etc/apt and run 'apt-get update'"
    printf '%s\n' "$found"
}

# install_peers SUITE: download with a private apt state, unpack, and gather the programs in SUITE/bin.
install_peers() {
    local suite=$1 dir=$lab_dir/$1 work
    case $suite in trixie | sid) ;; *) die "unknown suite '$suite': trixie or sid" ;; esac
    if [ -e "$dir/complete" ] && [ -z "$refresh" ]; then
        return 0
    fi
    printf 'fetching newer peers from %s into %s\n' "$suite" "$dir"
    rm -rf "$dir"
    work=$dir/apt
    mkdir -p "$work"/{lists/partial,cache/archives/partial,parts,debs} "$dir"/{unpacked,bin,cli-plugins}
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$(mirror)" "$suite" \
        >"$work/sources.list"
    local private=(
        -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts="$work/parts"
        -o Dir::Etc::PreferencesParts="$work/parts" -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache"
    )
    apt "${private[@]}" update
    (cd "$work/debs" && apt "${private[@]}" download "${peer_packages[@]}")
    local deb
    for deb in "$work"/debs/*.deb; do
        dpkg -x "$deb" "$dir/unpacked"
        dpkg-deb -W --showformat '${Package} ${Version}\n' "$deb" >>"$dir/versions"
    done
    gather_programs "$dir"
    rm -rf "$work"
    touch "$dir/complete"
    cat "$dir/versions"
}

# gather_programs DIR: links to every program, and a runc that runs with its own suite's libc. runc must not be started
# through ld.so: it runs itself again from /proc/self/exe.
gather_programs() {
    local dir=$1 program
    while IFS= read -r program; do
        ln -sf "$program" "$dir/bin/${program##*/}"
    done < <(find "$dir"/unpacked/usr/{bin,sbin,libexec} -type f -perm /111 \
        \( -name 'docker*' -o -name 'containerd*' -o -name ctr \))
    ln -sf "$(find "$dir/unpacked" -type f -path '*/cli-plugins/docker-buildx' | head -n 1)" "$dir/cli-plugins/docker-buildx"

    local libraries=() loader
    mapfile -t libraries < <(find "$dir/unpacked" \( -name 'libc.so.6' -o -name 'libseccomp.so.2' \) -printf '%h\n' | sort -u)
    loader=$(find "$dir/unpacked" -name 'ld-linux*.so.*' | head -n 1)
    install -m 0755 "$(find "$dir/unpacked" -type f -path '*bin/runc')" "$dir/bin/runc"
    patchelf --set-interpreter "$loader" --set-rpath "$(IFS=:; printf '%s' "${libraries[*]}")" "$dir/bin/runc"
    "$dir/bin/runc" --version >/dev/null || die "the runc in $dir/bin does not run on this machine"
}

refresh=
peers=()
while [ $# -gt 0 ]; do
    case $1 in
        --refresh) refresh=yes ;;
        --peers)
            shift
            peers=("$@")
            [ "${#peers[@]}" -gt 0 ] || die "--peers wants a suite: trixie or sid"
            break
            ;;
        *) die "unknown argument '$1': see the head of this script" ;;
    esac
    shift
done

need_root
install_packages
install_receiver
for suite in "${peers[@]}"; do
    install_peers "$suite"
done
