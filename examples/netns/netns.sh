#!/usr/bin/env bash
# Three hosts on this machine as network namespaces, and nothing hidden: every command is printed before it runs.
#
#   ./netns.sh           make the hosts, ping across them, remove them
#   ./netns.sh bash      the same, with a shell (or another command) before they are removed
#
#   c1 -- cbr0 | h1: 192.0.2.1 -- eth0 \
#   c2 -- cbr0 | h2: 192.0.2.2 -- eth0  -- bridge, 192.0.2.254: etcd
#   c3 -- cbr0 | h3: 192.0.2.3 -- eth0 /
#   plain-c1 …   plain-h1 …                plain-net: the namespaces
set -euo pipefail
cd "$(dirname "$0")"

LAB=${LAB:-plain} # begins the name of every namespace
FOLDER=/run/$LAB-lab
ETCD=http://192.0.2.254:2379
HOSTS='1 2 3'

# Variables that a shell has set for other daemons would reach these, too.
unset ${!CORDUROYD_@} ${!FLANNELD_@}

say() { printf '\n== %s\n' "$*" >&3; }
run() {
  printf '  $ %s\n' "$*" >&3
  "$@"
}
exec 3>&1 # `run` prints there, also when the output of its command goes to a file

need() {
  command -v "$1" >/dev/null || { echo "$1 is missing: apt-get install $2" >&2; exit 1; }
}

# Tries the command ten times a second until it succeeds. $1: what to say when that takes longer than ten seconds
until_it_works() {
  local what=$1
  shift
  printf '  $ %s\n' "$*" >&3
  for _ in $(seq 100); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "$what" >&2
  return 1
}

namespaces() { ip netns list | awk -v lab="$LAB-" 'index($1, lab) == 1 { print $1 }'; }

# Also what a run that was killed has left. With the last process and the namespace, all devices in it go.
remove_lab() {
  local each pids
  for each in $(namespaces); do
    pids=$(ip netns pids "$each")
    if [ -n "$pids" ]; then
      kill $pids 2>/dev/null || true
      for _ in $(seq 50); do [ -n "$(ip netns pids "$each")" ] || break; sleep 0.1; done
    fi
    ip netns delete "$each"
  done
  rm -rf "$FOLDER"
}

end() {
  local code=$?
  trap - EXIT INT TERM
  if [ "$code" != 0 ]; then
    say 'It failed; the ends of the logs'
    tail -n 5 "$FOLDER"/*.log >&2 2>/dev/null || true
  fi
  say 'Remove the lab'
  remove_lab
  exit "$code"
}

[ "$(id -u)" = 0 ] || { echo 'network namespaces need root: run it with sudo' >&2; exit 1; }
need ip iproute2
need nft nftables
need iptables iptables
need ping iputils-ping
need etcd etcd-server
need etcdctl etcd-client

remove_lab
trap end EXIT
trap 'exit 130' INT TERM

# The programs of this checkout if it is built, else those installed.
mkdir -p "$FOLDER/bin"
if [ -x ../../dist/corduroyd.js ]; then
  for program in corduroy corduroyd; do ln -s "$(realpath "../../dist/$program.js")" "$FOLDER/bin/$program"; done
  export PATH=$FOLDER/bin:$PATH
fi
command -v corduroyd >/dev/null || { echo 'corduroyd is missing: run make build, or install Corduroy' >&2; exit 1; }

say 'The network between the hosts: a bridge in a namespace of its own'
run ip netns add "$LAB-net"
run ip -netns "$LAB-net" link set lo up
run ip -netns "$LAB-net" link add underlay type bridge
run ip -netns "$LAB-net" address add 192.0.2.254/24 dev underlay
run ip -netns "$LAB-net" link set underlay up

say 'etcd, where all hosts reach it'
run ip netns exec "$LAB-net" etcd --data-dir "$FOLDER/etcd" --log-level warn \
  --listen-client-urls "$ETCD" --advertise-client-urls "$ETCD" \
  --listen-peer-urls http://127.0.0.1:2380 >"$FOLDER/etcd.log" 2>&1 &
until_it_works 'etcd does not answer' ip netns exec "$LAB-net" etcdctl --endpoints "$ETCD" endpoint health

say 'The hosts: a namespace each, with a cable to that bridge'
for n in $HOSTS; do
  host=$LAB-h$n
  run ip netns add "$host"
  run ip -netns "$host" link set lo up
  run ip -netns "$LAB-net" link add "h$n" type veth peer name eth0 netns "$host"
  run ip -netns "$LAB-net" link set "h$n" master underlay up
  run ip -netns "$host" address add "192.0.2.$n/24" dev eth0
  run ip -netns "$host" link set eth0 up
  run ip -netns "$host" route add default via 192.0.2.254
done

say 'What is a file on a real host: its id, and the settings of corduroyd'
for n in $HOSTS; do
  mkdir "$FOLDER/h$n"
  printf '%s h%s' "$LAB" "$n" | md5sum | cut -c 1-32 >"$FOLDER/h$n/machine-id"
  cat >"$FOLDER/h$n/corduroyd.json" <<TEXT
{
  "etcd-endpoints": ["$ETCD"],
  "bridge": "cbr0",
  "node-name": "h$n",
  "machine-id-file": "$FOLDER/h$n/machine-id",
  "run-dir": "$FOLDER/h$n/run",
  "state-dir": "$FOLDER/h$n/state",
  "subnet-file": "$FOLDER/h$n/subnet.env"
}
TEXT
done
run cat "$FOLDER/h1/corduroyd.json"

say 'The network config, once for all hosts'
run ip netns exec "$LAB-h1" corduroy config set --config-file="$FOLDER/h1/corduroyd.json" \
  '{"Network": "10.244.0.0/16", "Backend": {"Type": "udp"}}'

say 'A daemon on each host'
for n in $HOSTS; do
  run ip netns exec "$LAB-h$n" corduroyd --config-file="$FOLDER/h$n/corduroyd.json" >"$FOLDER/h$n.log" 2>&1 &
done
for n in $HOSTS; do
  run ip netns exec "$LAB-h$n" corduroy wait --peers 2 --config-file="$FOLDER/h$n/corduroyd.json"
done

say 'A container on each host: a namespace with a cable to the bridge that corduroyd keeps there'
for n in $HOSTS; do
  host=$LAB-h$n container=$LAB-c$n
  run cat "$FOLDER/h$n/subnet.env"
  . "$FOLDER/h$n/subnet.env"
  gateway=${FLANNEL_SUBNET%/*}
  address[n]=${gateway%.*}.2 # the bridge has .1
  run ip netns add "$container"
  run ip -netns "$container" link set lo up
  run ip -netns "$host" link add "c$n" mtu "$FLANNEL_MTU" type veth peer name eth0 mtu "$FLANNEL_MTU" netns "$container"
  run ip -netns "$host" link set "c$n" master cbr0 up
  run ip -netns "$container" address add "${address[n]}/${FLANNEL_SUBNET#*/}" dev eth0
  run ip -netns "$container" link set eth0 up
  run ip -netns "$container" route add default via "$gateway"
done

say 'Every container pings every other, with packets as large as the network takes'
for from in $HOSTS; do
  for to in $HOSTS; do
    [ "$from" = "$to" ] && continue
    run ip netns exec "$LAB-c$from" ping -n -q -c 1 -W 2 -M do -s $((FLANNEL_MTU - 28)) "${address[to]}" |
      sed -n 's/.*packets transmitted/    &/p'
  done
done

say 'What stands in etcd, and what h1 makes of it'
run ip netns exec "$LAB-net" etcdctl --endpoints "$ETCD" get --prefix /coreos.com/network/subnets
run ip -netns "$LAB-h1" route
run ip netns exec "$LAB-h1" corduroy status --config-file="$FOLDER/h1/corduroyd.json"

if [ $# -gt 0 ]; then
  say "$* (the lab is removed when it ends)"
  "$@"
fi

say 'The hosts leave, one by one: each removes what it made, and gives its lease back'
for n in $HOSTS; do
  run ip netns exec "$LAB-h$n" corduroy down --release --config-file="$FOLDER/h$n/corduroyd.json"
done
