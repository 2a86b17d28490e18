#!/bin/sh
# Runs the contracts' tests, and compares POWERS.md with them; arguments go to `forge test`, e.g. contracts/test.sh --match-test stolen
set -eu
here=$(cd "$(dirname "$0")" && pwd)
modules=${PAYMINT_TOOLS:-$here/../tools/.local}/node_modules
forge=
for candidate in "$modules"/@foundry-rs/forge-*/bin/forge; do
    [ -x "$candidate" ] && forge=$candidate
done
[ -n "$forge" ] && [ -d "$modules/solc" ] && [ -d "$modules/solady" ] || {
    echo "contracts/test.sh: forge, solc or solady is not installed; run tools/fetch, or name another tools folder in PAYMINT_TOOLS." >&2
    exit 1
}
"$here/powers" --check
cd "$here"
exec "$forge" test --use "$here/solc" --remappings "solady/=$modules/solady/" "$@"
