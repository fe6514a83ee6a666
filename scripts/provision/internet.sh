#!/bin/sh
# Make this machine the lab's internet: names, an authority, web sites, and oracles that record what
# arrives (tests/machines/internet.py). As root, in a virtual machine or in namespaces of its own.
#
#   LAB_ROOT    the checkout
#   LAB_PYTHON  an interpreter with the packages of requirements/dev.txt; made if not given
#   LAB_WAN     the network card towards the gateway
set -eu

: "${LAB_ROOT:?}" "${LAB_WAN:=eth1}"
. "$LAB_ROOT/scripts/provision/common.sh"
need_python

mkdir -p /run/egressguard-lab
rm -f /run/egressguard-lab/internet
background egressguard-internet env PYTHONPATH="$LAB_ROOT" PYTHONDONTWRITEBYTECODE=1 \
    "$LAB_PYTHON" -m tests.machines.internet --link "$LAB_WAN" --ready /run/egressguard-lab/internet
until_there /run/egressguard-lab/internet
echo "internet: serves"
