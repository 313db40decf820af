#!/bin/sh
# Joins this machine to the network that first.sh has made, with the token that lies in /srv/tokens under its name.
set -eu
token=/srv/tokens/$(hostname)

# Machines may come up at the same time, and the first one's packages take their time.
for _ in $(seq 600); do
  [ ! -s "$token" ] || break
  if [ -e /etc/corduroy/corduroyd.json ]; then
    echo 'this machine has joined already, and there is no new token'
    exit 0
  fi
  sleep 1
done
[ -s "$token" ] || { echo "there is no $token: make one on the host with: vagrant provision node1" >&2; exit 1; }

corduroy join --token-file "$token"
rm -f "$token"
