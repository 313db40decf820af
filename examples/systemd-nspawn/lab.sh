#!/usr/bin/env bash
# Hosts with a systemd of their own on one computer, with Corduroy's package installed in each. See README.md.
#
#   ./lab.sh up                      make and boot the hosts, corduroy init on h1, corduroy join on the others
#   ./lab.sh exec h1 COMMAND…        run a command on a host
#   ./lab.sh poweroff h2             and: ./lab.sh boot h2
#   ./lab.sh down                    remove everything
set -euo pipefail
cd "$(dirname "$0")"

LAB=${LAB:-nspawn} # begins the name of every machine and namespace
HOSTS=${HOSTS:-3}
ROOT=${ROOT:-/var/cache/corduroy-nspawn/root}
FOLDER=${FOLDER:-/var/lib/$LAB-lab}
DEB=${DEB:-$(ls -t ../../dist/corduroy_*.deb 2>/dev/null | head -n 1 || true)}

# Where cgroups are made by hand, on a computer without systemd: version 2, or 1 beside 2.
CGROUPS=()
for each in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
  [ ! -e "$each/cgroup.procs" ] || CGROUPS+=("$each")
done

say() { printf '== %s\n' "$*"; }
fail() {
  echo "$*" >&2
  exit 1
}

# --- the network between the hosts: a bridge in a namespace of its own, a namespace for each host

connect() { # $1: 1, 2, …
  local host=$LAB-h$1
  ip netns add "$host"
  ip -netns "$LAB-net" link add "h$1" type veth peer name eth0 netns "$host"
  ip -netns "$LAB-net" link set "h$1" master underlay up
  ip -netns "$host" address add "192.0.2.$1/24" dev eth0
  ip -netns "$host" link set eth0 up
  ip -netns "$host" link set lo up
  ip -netns "$host" route add default via 192.0.2.254
}

# --- the machines

# A machine of one's own has udev, which lets everybody open /dev/net/tun; a container has the computer's mode of it.
open_tun() { # $1: the folder of the host's units
  mkdir -p "$1/sysinit.target.wants"
  printf '%s\n' '[Unit]' DefaultDependencies=no Before=sysinit.target \
    '[Service]' Type=oneshot 'ExecStart=chmod 666 /dev/net/tun' >"$1/open-tun.service"
  ln -s ../open-tun.service "$1/sysinit.target.wants/"
}

# Its files: the shared root file system, and over it what the host has written.
boot() { # $1: h1, h2, …
  local host=$LAB-$1 folder=$FOLDER/$1 each
  mountpoint -q "$folder/root" ||
    mount -t overlay "$host" -o "lowerdir=$ROOT,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
  set -- systemd-nspawn --quiet --boot --directory="$folder/root" --machine="$host" \
    --network-namespace-path="/run/netns/$host" --capability=CAP_NET_ADMIN \
    --register=no --keep-unit --console=pipe
  # /proc/sys/net writable, as on a machine of one's own.
  export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
  if [ -d /run/systemd/system ]; then
    systemd-run --quiet --collect --unit="$host" --property=Delegate=yes --property=KillMode=mixed \
      --setenv=SYSTEMD_NSPAWN_API_VFS_WRITABLE --property="StandardOutput=append:$folder/console.log" -- "$@"
    systemctl show --property=MainPID --value "$host" >"$folder/pid"
  else
    # What systemd does for a unit: cgroups of its own, apart from those of the other hosts.
    (
      for each in "${CGROUPS[@]}"; do
        mkdir -p "$each/$host"
        echo "$BASHPID" >"$each/$host/cgroup.procs"
      done
      exec setsid "$@"
    ) </dev/null >>"$folder/console.log" 2>&1 &
    echo $! >"$folder/pid"
  fi
  for _ in $(seq 300); do
    # "degraded": up, and some unit, in a container often one that wants hardware, has failed.
    case $(enter "${host#"$LAB-"}" systemctl is-system-running 2>/dev/null) in running | degraded) return ;; esac
    sleep 0.1
  done
  fail "$host does not come up: see $folder/console.log"
}

leader() { pgrep -P "$(cat "$FOLDER/$1/pid")" | head -n 1; }

enter() { # $1: the host; then the command
  local pid
  pid=$(leader "$1") || fail "$1 does not run: ./lab.sh boot $1"
  shift
  nsenter --target "$pid" --all -- \
    env -i HOME=/root TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

power_off() { # $1: h1, h2, …
  local folder=$FOLDER/$1 pid each
  if [ -e "$folder/pid" ]; then
    pid=$(cat "$folder/pid")
    # What a power button sends to systemd. Never kill systemd-nspawn itself: its machine would live on.
    [ ! -d "/proc/$pid" ] || kill -s RTMIN+4 "$(leader "$1")"
    for each in $(seq 300); do
      [ -d "/proc/$pid" ] || break
      sleep 0.1
    done
    [ ! -d "/proc/$pid" ] || fail "$1 does not power off: it is process $pid"
    rm "$folder/pid"
  fi
  ! mountpoint -q "$folder/root" || umount "$folder/root"
  [ ! -d /run/systemd/system ] || return 0
  for each in "${CGROUPS[@]}"; do
    [ ! -d "$each/$LAB-$1" ] || find "$each/$LAB-$1" -depth -type d -exec rmdir {} \;
  done
}

# --- the commands

up() {
  [ -d "$ROOT" ] || fail "there is no root file system $ROOT: make it with ./rootfs.sh"
  [ -n "$DEB" ] || fail 'there is no package in dist/: run make deb there, or set DEB to one'
  command -v systemd-nspawn >/dev/null || fail 'systemd-nspawn is missing: apt-get install systemd-container'
  [ ! -e "$FOLDER" ] || fail "$FOLDER is there: a lab is up, or was interrupted. Remove it with ./lab.sh down"
  trap '[ $? = 0 ] || echo "It did not come up. What there is stays for a look; ./lab.sh down removes it." >&2' EXIT

  local n
  say "Boot $HOSTS hosts"
  mkdir -p "$FOLDER"
  ip netns add "$LAB-net"
  ip -netns "$LAB-net" link add underlay type bridge
  ip -netns "$LAB-net" address add 192.0.2.254/24 dev underlay
  ip -netns "$LAB-net" link set underlay up
  for n in $(seq "$HOSTS"); do
    mkdir -p "$FOLDER/h$n"/upper/etc/{corduroy,sysctl.d} "$FOLDER/h$n/work" "$FOLDER/h$n/root"
    echo "h$n" >"$FOLDER/h$n/upper/etc/hostname"
    # A copy of a disk needs an id of its own.
    tr -d - </proc/sys/kernel/random/uuid >"$FOLDER/h$n/upper/etc/machine-id"
    # There is no Docker on these hosts, which would switch forwarding on: that is the operator's to do, and corduroyd
    # itself keeps a bridge for containers.
    echo 'net.ipv4.ip_forward = 1' >"$FOLDER/h$n/upper/etc/sysctl.d/forward.conf"
    echo '{ "bridge": "cbr0" }' >"$FOLDER/h$n/upper/etc/corduroy/corduroyd.json"
    open_tun "$FOLDER/h$n/upper/etc/systemd/system"
    connect "$n"
    boot "h$n"
  done

  say "Install $DEB on each"
  for n in $(seq "$HOSTS"); do
    cp "$DEB" "$FOLDER/h$n/root/root/corduroy.deb"
    enter "h$n" apt-get install -y -q /root/corduroy.deb >"$FOLDER/h$n/install.log" 2>&1 ||
      fail "it cannot be installed: see $FOLDER/h$n/install.log"
  done

  say 'corduroy init on h1'
  enter h1 corduroy init --network 10.244.0.0/16 >/dev/null # it prints a token as well
  for n in $(seq 2 "$HOSTS"); do
    say "corduroy join on h$n"
    enter h1 corduroy token create --ttl 1h | enter "h$n" corduroy join --token-file -
  done

  say 'corduroy status on h1'
  enter h1 corduroy wait --peers $((HOSTS - 1))
  enter h1 corduroy status
}

down() {
  local each
  for each in "$FOLDER"/h*; do
    [ ! -d "$each" ] || power_off "${each##*/}"
  done
  for each in $(ip netns list | awk -v lab="$LAB-" 'index($1, lab) == 1 { print $1 }'); do ip netns delete "$each"; done
  rm -rf --one-file-system "$FOLDER"
}

[ "$(id -u)" = 0 ] || fail 'machines need root: run it with sudo'
case ${1:-} in
  up) up ;;
  exec) [ $# -ge 3 ] || fail 'usage: ./lab.sh exec h1 COMMAND…'; shift; enter "$@" ;;
  boot) [ -d "$FOLDER/${2:-}/upper" ] || fail 'usage: ./lab.sh boot h1'; boot "$2" ;;
  poweroff) [ -d "$FOLDER/${2:-}/upper" ] || fail 'usage: ./lab.sh poweroff h1'; power_off "$2" ;;
  down) down ;;
  *) fail 'usage: ./lab.sh up | exec HOST COMMAND… | boot HOST | poweroff HOST | down' ;;
esac
