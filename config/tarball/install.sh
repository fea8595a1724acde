#!/bin/sh
# Installs ssh-broker below a prefix: ./install.sh [PREFIX], by default /usr/local. An existing configuration stays as it is.
# systemd finds units below /usr and /usr/local only. If DESTDIR is set, everything goes below that directory, as packages
# need it. Programs that run meanwhile continue as they are.
set -eu
# The daemon's user must be able to read the files, whatever the umask of root is.
umask 022

from=$(dirname "$0")
prefix=${1:-/usr/local}
root=${DESTDIR:-}

case $prefix in
/*) ;;
*)
    echo "usage: $0 [PREFIX]; PREFIX is an absolute path, by default /usr/local" >&2
    exit 2
    ;;
esac

(cd "$from" && find bin lib share -type f) | while read -r file; do
    case $file in bin/*) mode=755 ;; *) mode=644 ;; esac
    mkdir -p "$(dirname "$root$prefix/$file")"
    # "cp" cannot replace a program that runs.
    install -m "$mode" "$from/$file" "$root$prefix/$file"
done
# The units name the places of the programs.
for unit in lib/systemd/system/brokerd.service lib/systemd/user/brokerd.service; do
    sed "s,/usr/bin/broker,$prefix/bin/broker," "$from/$unit" >"$root$prefix/$unit"
done
config=etc/ssh2/ssh-broker-config.xml
mkdir -p "$root/etc/ssh2"
[ -e "$root/$config" ] || install -m 644 "$from/$config" "$root/$config"

echo "ssh-broker is in $root$prefix, and its configuration is $root/$config."
echo "To run it for the whole host with systemd:"
echo "  systemd-sysusers $prefix/lib/sysusers.d/ssh-broker.conf && systemctl daemon-reload && systemctl enable --now brokerd"
