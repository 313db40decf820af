#!/bin/sh
# Makes the root file system that all hosts of lab.sh share: Debian 12 with systemd, and what Corduroy needs, in 350 MB.
# Needs mmdebstrap and the Internet.
set -eu

ROOT=${ROOT:-/var/cache/corduroy-nspawn/root}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
# Debian 12 has Node.js 18. An apt source of your own can stand here, too.
KEY=${ROOT%/*}/nodesource.asc
NODE_SOURCE=${NODE_SOURCE:-deb [signed-by=$KEY] https://deb.nodesource.com/node_22.x nodistro main}

[ "$(id -u)" = 0 ] || { echo 'it needs root: run it with sudo' >&2; exit 1; }
[ ! -e "$ROOT" ] || { echo "$ROOT is there already: remove it to make it anew" >&2; exit 1; }
command -v mmdebstrap >/dev/null || { echo 'mmdebstrap is missing: apt-get install mmdebstrap' >&2; exit 1; }

mkdir -p "${ROOT%/*}"
case $NODE_SOURCE in
  *"$KEY"*) curl -fsSL https://deb.nodesource.com/gpgkey/nodesource-repo.gpg.key -o "$KEY" ;;
esac

rm -rf "$ROOT.unfinished"
# Debian's package would start an etcd of its own at boot, on the port of that of corduroy init.
mmdebstrap --variant=minbase \
  --include=systemd,systemd-sysv,dbus,iproute2,iptables,nftables,kmod,procps,iputils-ping,openssl,etcd-server,nodejs \
  --customize-hook='systemctl --root="$1" mask etcd.service' \
  bookworm "$ROOT.unfinished" "deb $MIRROR bookworm main" "$NODE_SOURCE"
mv "$ROOT.unfinished" "$ROOT"
