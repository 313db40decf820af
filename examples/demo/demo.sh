#!/usr/bin/env bash
# Three hosts on this machine, from nothing to ping and back. Run it by: make demo   (KEEP=1 leaves the hosts up)
set -euo pipefail
cd "$(dirname "$0")/../.."

LAB=demo
corduroy() { node dist/corduroy.js "$@"; }
on() { corduroy lab exec --name "$LAB" "$@"; }
say() { printf '\n== %s\n' "$*"; }

clean_up() {
  local code=$?
  trap - EXIT INT TERM
  if [ "${KEEP:-}" = 1 ] && [ "$code" = 0 ]; then
    say "The lab stays up. Try:"
    cat <<TEXT
  alias corduroy='node $PWD/dist/corduroy.js'
  corduroy lab ping --name $LAB
  corduroy lab exec --name $LAB h1 -- corduroy status
  corduroy lab exec --name $LAB c1 -- bash
  corduroy lab up --name $LAB --hosts 5      # two more hosts
  corduroy lab down --name $LAB              # when you have seen enough
TEXT
  else
    corduroy lab down --name "$LAB" >/dev/null
  fi
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

corduroy lab down --name "$LAB" >/dev/null # what an interrupted run may have left

say "Three hosts, each with a daemon and a container, around one etcd"
corduroy lab up --name "$LAB" --hosts 3

say "The leases in etcd, as flannel would write them"
on h1 corduroy leases list
on h1 etcdctl --endpoints http://192.0.2.254:2379 get --prefix /coreos.com/network

say "What h1 hands to whatever configures its containers: subnet.env"
on h1 sh -c 'cat "$CORDUROYD_SUBNET_FILE"'

say "Every container pings every other, at full MTU, unfragmented"
corduroy lab ping --name "$LAB"

say "TCP from c1 to c2, five seconds"
c2=$(on c2 ip -4 -o address show dev eth0 | awk '{ sub("/.*", "", $4); print $4 }')
on c2 iperf3 --server --one-off --daemon --logfile /dev/null
sleep 0.5
on c1 iperf3 --client "$c2" --time 5 | grep -E 'sender|receiver'

say "h1 as its operator sees it"
on h1 corduroy status

say "h3 leaves: it removes what it made, and gives its lease back"
c3=$(on c3 ip -4 -o address show dev eth0 | awk '{ sub("/.*", "", $4); print $4 }')
on h3 corduroy down --release
sleep 1

say "The others have dropped their routes to it: h1 has one peer left, and says so to who asks for c3"
on h1 corduroy status | sed -n '/^PEER/,/^$/p'
{ on c1 ping -n -c 1 -W 2 "$c3" || true; } | grep Unreachable
on h1 corduroy leases list

say "Done"
