#!/usr/bin/env bash
# Makes an authority and certificates to try edgepose over TLS with, by the openssl command:
#
#     make-test-ca.sh FOLDER DEVICE...
#
# In FOLDER: ca.pem; broker.pem, good for localhost, 127.0.0.1, the host's name and BROKER_NAME; DEVICE.pem each;
# operator.pem and viewer.pem for people; two that the broker must refuse, both in the name of the first DEVICE:
# expired.pem, and foreign.pem from another authority. Each with its NAME.key. The authority's key, ca.key, is left in
# the folder too, and no key has a password: that is right for a try-out and nothing else. Everything is good for
# DAYS (30) days. A second time into the same folder it adds what is missing, from the authority that is there, and
# replaces nothing: another authority would lock out every box that trusts the first.
set -Eeuo pipefail

if (($# < 2)); then
  echo "usage: $0 FOLDER DEVICE..., for example: $0 certs gym-01 gym-02" >&2
  exit 2
fi
mkdir -p "$1"
cd "$1"
shift
umask 077
days=${DAYS:-30}
names="DNS:localhost,DNS:$(hostname),IP:127.0.0.1${BROKER_NAME:+,DNS:$BROKER_NAME}"
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

authority() { # FILE
  openssl req -x509 "${new_key[@]}" -days "$days" -keyout "$1.key" -out "$1.pem" -subj "/CN=edgepose test $1" \
    -addext keyUsage=critical,keyCertSign,cRLSign
}

# Openssl 3.5 makes nothing that is good for less than no days, those before 3.4 know no dates.
yesterday=(-days -1)
if openssl x509 -help 2>&1 | grep -q -- -not_after; then
  yesterday=(-not_before 20000101000000Z -not_after "$(date -u -d yesterday +%Y%m%d%H%M%SZ)")
fi

certificate() { # FILE COMMON-NAME USAGE DAYS|past AUTHORITY
  local good=(-days "$4")
  [[ $4 != past ]] || good=("${yesterday[@]}")
  openssl req "${new_key[@]}" -keyout "$1.key" -out "$1.csr" -subj "/CN=$2"
  # What is not said to be a server's cannot play the broker to the other devices.
  openssl x509 -req -in "$1.csr" -CA "$5.pem" -CAkey "$5.key" -CAcreateserial "${good[@]}" -out "$1.pem" \
    -extfile <(printf '%s\n' "extendedKeyUsage=$3" ${6:+"subjectAltName=$6"})
  rm "$1.csr"
}

# Openssl chats on standard error: that is shown where something fails.
exec 3>&2 2>openssl.log
trap 'cat openssl.log >&3; rm openssl.log' ERR
there() { # FILE
  [[ -e $1.pem ]]
}

if there ca && [[ ! -e ca.key ]]; then
  echo "$0: $PWD/ca.pem is there without its ca.key: nothing can be added to it; name another folder" >&3
  rm openssl.log
  exit 1
fi
there ca || authority ca
there broker || certificate broker broker serverAuth "$days" ca "$names"
for name in "$@" operator viewer; do
  if there "$name"; then
    echo "$0: $name.pem is there and stays" >&3
  else
    certificate "$name" "$name" clientAuth "$days" ca
  fi
done
there expired || certificate expired "$1" clientAuth past ca
there foreign || { authority elsewhere && certificate foreign "$1" clientAuth "$days" elsewhere; }
rm -f elsewhere.* ca.srl openssl.log
# Certificates are for everybody to read, keys for their owner alone.
chmod 644 ./*.pem
