#!/bin/sh
# Installs Corduroy's package, $1, and the Node.js it needs, on Debian 12. Run again, it upgrades.
set -eu
export DEBIAN_FRONTEND=noninteractive
package=$1

# Debian 12 has Node.js 18.
if ! dpkg --compare-versions "$(node --print process.versions.node 2>/dev/null || echo 0)" ge 20.19; then
  apt-get update -q
  apt-get install -y -q --no-install-recommends ca-certificates
  mkdir -p /etc/apt/keyrings
  /usr/lib/apt/apt-helper download-file https://deb.nodesource.com/gpgkey/nodesource-repo.gpg.key \
    /etc/apt/keyrings/nodesource.asc
  echo 'deb [signed-by=/etc/apt/keyrings/nodesource.asc] https://deb.nodesource.com/node_22.x nodistro main' \
    >/etc/apt/sources.list.d/nodesource.list
  apt-get update -q
  apt-get install -y -q --no-install-recommends nodejs
fi
apt-get install -y -q --no-install-recommends "$package"
