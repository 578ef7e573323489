#!/bin/sh
# with-tabrmd.sh <folder with a TPM's socket> <command...>: runs a command beside a resource manager of its own, on a system bus that only
# this mount namespace sees. Called through `unshare --mount --propagation private`.
set -eu
folder=$1
shift
mkdir -p /run/dbus
mount -t tmpfs tmpfs /run/dbus
cat > "$folder/bus.conf" <<BUS
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow user="*"/>
  </policy>
</busconfig>
BUS
dbus-daemon --config-file="$folder/bus.conf" --nofork &
bus=$!
manager=
# SIGKILL: without its bus the manager does not heed another signal.
trap 'kill -9 $manager $bus' EXIT
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
tpm2-abrmd --allow-root --tcti="swtpm:path=$folder/socket" &
manager=$!
until dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner \
  string:com.intel.tss2.Tabrmd | grep -q true; do sleep 0.05; done
"$@"
