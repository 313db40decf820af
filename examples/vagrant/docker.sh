#!/bin/sh
# Installs Docker and gives it the subnet of this machine. The daemon of Corduroy has to run.
set -eu
export DEBIAN_FRONTEND=noninteractive

apt-get install -y -q --no-install-recommends docker.io
corduroy docker configure --how options --yes --restart
