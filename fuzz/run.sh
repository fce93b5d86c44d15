#!/usr/bin/env bash
# Fuzzes every target, or those that are named, for so many seconds each: fuzz/run.sh SECONDS [TARGET...]
# Needs nothing but the stable Rust toolchain and a C++ compiler: coverage comes from LLVM's own pass.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(session http1 http2 grpc diffcopy capture describe redact filter)

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
# With --target the flags are for the targets only, not for build scripts.
cargo build --quiet --release --target "$host"

for target in "${targets[@]}"; do
  corpus=target/corpus/$target
  mkdir -p "$corpus"
  # Real captures are the best seeds for what reads captures.
  seeds=()
  [ "$target" = capture ] && [ -d ../fixtures/captures ] && seeds=(../fixtures/captures)
  echo "fuzz: $target for $seconds s"
  "target/$host/release/$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=0 -verbosity=0 -artifact_prefix="target/crash-$target-" "$corpus" "${seeds[@]}"
done
echo "fuzz: no crash"
