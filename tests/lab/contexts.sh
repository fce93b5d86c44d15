#!/usr/bin/env bash
# What the lab builds. Sourced by record.sh; run by itself it makes the same things for the tests:
#
#   contexts.sh make DIR                  the build contexts, and a secret in DIR/token
#   contexts.sh ssh-image DIR             the image base-ssh:latest, for RUN --mount=type=ssh
#   contexts.sh fake-buildkit DIR PORT    the image fake-buildkit:latest, which leads to an adapter at 127.0.0.1:PORT
#
# The images go to the daemon that docker finds; DIR is where their files are gathered.
set -euo pipefail

# fill SIZE FILE WORD: SIZE bytes of numbered lines, so that a reader sees at once which file a byte came from.
fill() {
    awk -v size="$1" -v word="$3" 'BEGIN {
        while (length(text) < size) text = text sprintf("%s line %06d\n", word, ++n)
        printf "%s", substr(text, 1, size)
    }' >"$2"
}

# make_contexts DIR: contexts with fixed names, contents, modes and dates. 40000 bytes make two DATA packets.
make_contexts() {
    local dir=$1
    mkdir -p "$dir"/{tree/sub/deep,run,failing,secret,ssh,sleep}
    fill 12 "$dir/tree/hello.txt" hello
    fill 40000 "$dir/tree/sub/numbers.txt" number
    : >"$dir/tree/sub/empty"
    printf '#!/bin/sh\necho hello\n' >"$dir/tree/sub/deep/script.sh"
    ln -s ../hello.txt "$dir/tree/sub/link"
    printf 'ignored\n' >"$dir/tree/ignored.log"
    printf '*.log\n' >"$dir/tree/.dockerignore"
    printf 'FROM scratch\nCOPY hello.txt /\nCOPY sub /sub/\n' >"$dir/tree/Dockerfile"
    printf 'FROM base:latest\nRUN echo one; mkdir /out; echo made in RUN >/out/one\nRUN echo two; wc -c /out/one\n' \
        >"$dir/run/Dockerfile"
    printf 'FROM base:latest\nRUN echo about to fail; no-such-command\n' >"$dir/failing/Dockerfile"
    printf 'FROM base:latest\nRUN --mount=type=secret,id=token wc -c /run/secrets/token\n' >"$dir/secret/Dockerfile"
    printf 'FROM base-ssh:latest\nRUN --mount=type=ssh ssh-add -l\n' >"$dir/ssh/Dockerfile"
    printf 'FROM base:latest\nRUN echo build is running; sleep 600\n' >"$dir/sleep/Dockerfile"
    chmod -R u=rwX,go=rX "$dir"
    chmod 0755 "$dir/tree/sub/deep/script.sh"
    find "$dir" -exec touch -h -d @1700000000 {} +
}

# make_ssh_image DIR: base:latest and what `ssh-add -l` needs from this machine, so that RUN has something to say to the
# agent.
make_ssh_image() {
    local tree=$1 file
    mkdir -p "$tree"
    docker run --rm --network none base:latest true >/dev/null
    while IFS= read -r file; do
        install -D -m 0755 "$file" "$tree$file"
    done < <(command -v ssh-add; ldd "$(command -v ssh-add)" | grep -o '/[^ ]*')
    printf 'FROM base:latest\nCOPY . /\nENV PATH=/bin:/usr/bin\n' >"$tree/Dockerfile"
    docker build -q -t base-ssh:latest "$tree" >/dev/null
}

# make_fake_buildkit DIR PORT: an image that passes for buildkitd's: `buildctl dial-stdio` leads to the adapter at PORT,
# and so to the engine's own BuildKit.
make_fake_buildkit() {
    local tree=$1 port=$2
    mkdir -p "$tree/bin"
    cat >"$tree/bin/buildkitd" <<'END'
#!/bin/sh
[ "$1" = --version ] && echo 'buildkitd github.com/moby/buildkit v0.13.1 fake' && exit
exec sleep 86400
END
    cat >"$tree/bin/buildctl" <<END
#!/bin/sh
case "\$*" in
*dial-stdio*) exec nc 127.0.0.1 $port ;;
esac
END
    chmod 0755 "$tree"/bin/*
    printf 'FROM base:latest\nCOPY bin /bin/\nENTRYPOINT ["buildkitd"]\n' >"$tree/Dockerfile"
    docker build -q -t fake-buildkit:latest "$tree" >/dev/null
}

# make_secret FILE: a secret that must never be seen in what buildtap shows or stores.
make_secret() {
    printf 'canary-secret-8d1f3c5e7a9b' >"$1"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    case "${1:-} $#" in
        "make 2")
            make_contexts "$2"
            make_secret "$2/token"
            ;;
        "ssh-image 2") make_ssh_image "$2" ;;
        "fake-buildkit 3") make_fake_buildkit "$2" "$3" ;;
        *)
            sed -n '2,/^set -e/{/^#/s/^# \{0,1\}//p}' "$0" >&2
            exit 2
            ;;
    esac
fi
