#!/bin/sh
# Makes what docker-compose.yml needs: a CA, etcd's certificate for the address hosts reach it by, one certificate for
# each host, all in pki/, and the address in .env. What is there already stays.
#
#   ./certificates.sh 10.0.0.1 host1 host2 host3
set -eu
cd "$(dirname "$0")"
umask 077

case ${1:-} in
  '' | -*)
    echo 'usage: ./certificates.sh ADDRESS [HOST...]     ADDRESS: where the hosts reach this machine' >&2
    exit 2
    ;;
esac
address=$1
shift

key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'

# $1: name, $2: usage, $3: further extensions
issue() {
  [ ! -e "pki/$1.pem" ] || { echo "pki/$1.pem is there"; return; }
  openssl req -x509 $key -days 365 -CA pki/ca.pem -CAkey pki/ca.key \
    -keyout "pki/$1.key" -out "pki/$1.pem.new" -subj "/CN=$1" \
    -addext basicConstraints=critical,CA:FALSE -addext "extendedKeyUsage=$2" ${3:+-addext "$3"} 2>/dev/null
  mv "pki/$1.pem.new" "pki/$1.pem"
  echo "pki/$1.pem: made"
}

mkdir -p pki
if [ ! -e pki/ca.pem ]; then
  openssl req -x509 $key -days 3650 -keyout pki/ca.key -out pki/ca.pem -subj '/CN=etcd CA' 2>/dev/null
  echo 'pki/ca.pem: made'
fi
# clientAuth as well: the health check of docker-compose.yml shows it, too.
issue etcd serverAuth,clientAuth "subjectAltName=IP:$address,IP:127.0.0.1"
openssl x509 -in pki/etcd.pem -noout -checkip "$address" | grep -q 'does match' || {
  echo "pki/etcd.pem is for another address than $address: remove it, and run this again" >&2
  exit 1
}
for host in "$@"; do
  # etcd takes the common name for its user, and root may do everything.
  [ "$host" != root ] || { echo 'no host may be called root: etcd would take it for its administrator' >&2; exit 2; }
  issue "$host" clientAuth
done
echo "ETCD_ADDRESS=$address" >.env
