#!/bin/sh
# Print an interpreter with the packages that the tests need, installing them first where they are not:
# by apt and pip, so before a machine has lost its way to them.
set -eu

root=$(cd -- "$(dirname -- "$(readlink -f -- "$0")")/../.." && pwd -P)
# shellcheck disable=SC2034  # setup.sh reads them
data=/var/lib/egressguard cache=/var/cache/egressguard
. "$root/scripts/lib/setup.sh"
prepare_tests >&2
echo "$environment/bin/python"
