#!/bin/sh
# Prints the user-data of a host: first.yaml, or next.yaml with a token from standard input, for a package at a URL.
#
#   ./user-data.sh first URL PACKAGE
#   ssh HOST sudo corduroy token create --ttl 1h | ./user-data.sh next URL PACKAGE
set -eu
folder=$(dirname "$0")

[ $# = 3 ] && [ -e "$folder/$1.yaml" ] || {
  echo 'usage: ./user-data.sh first|next URL PACKAGE     PACKAGE: a copy of the file that URL leads to' >&2
  exit 2
}
sum=$(sha256sum "$3")
url=$(printf '%s' "$2" | sed 's/[&|\\]/\\&/g') # what sed would take for its own, as in "?a=1&b=2"
case $1 in
  next) read -r token && [ -n "$token" ] || { echo 'there is no token on standard input' >&2; exit 2; } ;;
  *) token= ;;
esac
# The token goes by a file, not by the command line, which every user can read.
sed -f /dev/fd/3 "$folder/$1.yaml" 3<<END
s|@URL@|$url|
s|@SHA256@|${sum%% *}|
s|@TOKEN@|$token|
END
