#!/usr/bin/env bash
# Static checks of the shell and Python scripts in the tree, and of the captures' ground truth.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

mapfile -t shell < <(git grep -lE '^#!(/usr/bin/env bash|/bin/sh)' -- '.ci/*' 'tests/*')
shellcheck "${shell[@]}"

mapfile -t python < <(git ls-files '*.py')
pyflakes3 "${python[@]}"

# truth.json is generated: it must be what truth.py says of the captures next to it.
diff -u fixtures/captures/truth.json <(tests/lab/truth.py --json fixtures/captures/*.pcap) ||
    { echo "fixtures/captures/truth.json is not what tests/lab/truth.py --json fixtures/captures/*.pcap says" >&2; exit 1; }
