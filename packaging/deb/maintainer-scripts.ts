/**
 * What dpkg runs. Everything that talks to systemd is left out where systemd does not run (chroots, image builds), and every step
 * may be run twice. State and configuration are never touched but by purge, and keys in a TPM not even then.
 */
export function maintainerScripts(): Readonly<Record<string, string>> {
  // Node alone was exchanged: dpkg calls postinst once, after everything is unpacked.
  return { preinst, postinst, prerm, postrm, triggers: "interest-noawait /usr/lib/latebind/node\n" };
}

const units = "latebind.service latebind-apply.socket";

const preinst = `#!/bin/sh
set -e
# What the administrator stopped stays stopped when it is upgraded.
rm -f /run/latebind-was-stopped
if [ "$1" = upgrade ] && [ -d /run/systemd/system ]; then
  systemctl --quiet is-active latebind.service || systemctl --quiet is-failed latebind.service || touch /run/latebind-was-stopped
fi
`;

const postinst = `#!/bin/sh
set -e

start() {
  [ -d /run/systemd/system ] || return 0
  systemctl --system daemon-reload >/dev/null || true
  deb-systemd-invoke start latebind-apply.socket >/dev/null || true
  # The helper that runs ends; the next request gets the new one.
  systemctl stop latebind-apply.service >/dev/null 2>&1 || true
  [ -e /run/latebind-was-stopped ] || deb-systemd-invoke restart latebind.service >/dev/null || true
  rm -f /run/latebind-was-stopped
}

case "$1" in
  configure)
    # What cannot even tell its version must not take the place of what runs.
    latebind --version >/dev/null
    systemd-sysusers latebind.conf
    systemd-tmpfiles --create latebind.conf || true
    for unit in ${units}; do
      deb-systemd-helper unmask "$unit" >/dev/null || true
      if deb-systemd-helper --quiet was-enabled "$unit"; then
        deb-systemd-helper enable "$unit" >/dev/null || true
      else
        deb-systemd-helper update-state "$unit" >/dev/null || true
      fi
    done
    start
    ;;
  triggered)
    # Node alone was exchanged.
    [ ! -d /run/systemd/system ] || systemctl --quiet is-active latebind.service || touch /run/latebind-was-stopped
    start
    ;;
esac
`;

const prerm = `#!/bin/sh
set -e
# An upgrade leaves the old agent running until the new one takes over.
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke stop latebind-apply.socket latebind-apply.service latebind.service >/dev/null || true
fi
`;

const postrm = `#!/bin/sh
set -e
if [ "$1" = purge ]; then
  for unit in ${units}; do
    ! command -v deb-systemd-helper >/dev/null || deb-systemd-helper purge "$unit" >/dev/null || true
  done
  # What the administrator put into /etc/latebind stays, and so do keys in a TPM or token; the user stays, because files may be its.
  rm -rf /var/lib/latebind /var/lib/latebind-apply /var/cache/latebind
fi
if [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload >/dev/null || true
fi
`;
