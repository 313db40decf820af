#!/bin/sh
# Makes this machine the first of a network: an etcd, the network config, corduroyd. $@: the machines that will join,
# for each of which it leaves a token in /srv/tokens. Run again, it makes new tokens.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Debian's package starts an etcd as soon as it is installed, on the port that ours needs.
systemctl mask etcd.service
apt-get install -y -q --no-install-recommends etcd-server

# What it prints is a token, and what a provisioner prints is kept in logs.
corduroy init --network 10.244.0.0/16 >/dev/null

umask 077
mkdir -p /srv/tokens
for machine in "$@"; do
  corduroy token create --ttl 1h >"/srv/tokens/$machine.new"
  mv "/srv/tokens/$machine.new" "/srv/tokens/$machine"
done
