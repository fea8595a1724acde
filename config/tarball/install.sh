#!/bin/sh
# Installs ssh-broker below a prefix: ./install.sh [PREFIX], by default /usr/local. An existing configuration stays as it is.
# systemd finds units below /usr and /usr/local only. If DESTDIR is set, everything goes below that directory, as packages
# need it.
set -eu

from=$(dirname "$0")
prefix=${1:-/usr/local}
root=${DESTDIR:-}

mkdir -p "$root$prefix" "$root/etc/ssh2"
cp -R "$from/bin" "$from/lib" "$from/share" "$root$prefix/"
# The units name the places of the programs.
for unit in lib/systemd/system/brokerd.service lib/systemd/user/brokerd.service; do
    sed "s,/usr/bin/broker,$prefix/bin/broker," "$from/$unit" >"$root$prefix/$unit"
done
config=etc/ssh2/ssh-broker-config.xml
[ -e "$root/$config" ] || cp "$from/$config" "$root/$config"

echo "ssh-broker is in $root$prefix, and its configuration is $root/$config."
echo "To run it for the whole host with systemd:"
echo "  systemd-sysusers $prefix/lib/sysusers.d/ssh-broker.conf && systemctl daemon-reload && systemctl enable --now brokerd"
