/** A deed that a directive must prevent: it succeeds without the directive and fails with it. */
interface Probe {
  /** Shell, as root, or as nobody where `asNobody` says so. */
  readonly deed: string;
  readonly asNobody?: true;
  /** Directives that only work together with it. */
  readonly together?: readonly string[];
}

const namespace = (name: string): Probe => ({
  deed: `[ "$(readlink /proc/self/ns/${name})" = "$(readlink /proc/1/ns/${name})" ]`,
});

/** One for each directive of the sandboxes. */
export const probes: Readonly<Record<string, Probe>> = {
  NoNewPrivileges: { deed: "grep -q 'NoNewPrivs:.*0' /proc/self/status" },
  CapabilityBoundingSet: { deed: "unshare --uts hostname probe" },
  ProtectSystem: { deed: "touch /usr/probe" },
  ProtectHome: { deed: "touch /root/probe" },
  PrivateTmp: { deed: "test -e /tmp/marker" },
  PrivateMounts: namespace("mnt"),
  PrivateIPC: namespace("ipc"),
  PrivateNetwork: namespace("net"),
  PrivateUsers: { deed: `[ "$(awk 'NR == 1 { print $3 }' /proc/self/uid_map)" -gt 65536 ]` },
  PrivateDevices: { deed: "test -e /dev/probe" },
  // The device of tun, opened by a node of its own, so that only the cgroup stands in the way.
  DevicePolicy: {
    deed: "mknod /dev/probe-$$ c 10 200 && exec 3<>/dev/probe-$$",
    together: ["DeviceAllow"],
  },
  ProtectHostname: { deed: "hostname probe" },
  // clock_settime with a bad pointer: EFAULT where it would be allowed.
  ProtectClock: { deed: "perl -e 'syscall(227, 0, 0); exit($!{EPERM} ? 1 : 0)'" },
  ProtectKernelTunables: { deed: "echo 1 > /proc/sys/net/ipv4/ip_forward" },
  // init_module without a module: anything but EPERM where it would be allowed.
  ProtectKernelModules: { deed: "perl -e 'syscall(175, 0, 0, 0); exit($!{EPERM} ? 1 : 0)'" },
  ProtectKernelLogs: { deed: "dmesg > /dev/null" },
  ProtectControlGroups: { deed: "mkdir /sys/fs/cgroup/probe && rmdir /sys/fs/cgroup/probe" },
  ProtectProc: { deed: "test -d /proc/1", asNobody: true },
  RestrictAddressFamilies: { deed: "perl -e 'socket(my $s, 17, 3, 0) or exit 1'" },
  RestrictNamespaces: { deed: "unshare --mount true" },
  RestrictRealtime: { deed: "chrt --fifo 1 true" },
  RestrictSUIDSGID: { deed: "touch /tmp/probe; chmod u+s /tmp/probe" },
  LockPersonality: { deed: "setarch --addr-no-randomize true" },
  SystemCallFilter: {
    deed: "renice --priority 1 --pid $$",
    together: ["SystemCallErrorNumber"],
  },
  NoExecPaths: { deed: "cp /usr/bin/true /tmp/program; /tmp/program" },
  ReadOnlyPaths: { deed: "touch /run/probe" },
  UMask: { deed: 'touch /tmp/mask-$$; [ "$(stat -c %a /tmp/mask-$$)" = 644 ]' },
  LimitCORE: { deed: '[ "$(ulimit -H -c)" != 0 ]' },
  UnsetEnvironment: { deed: 'test -n "$NODE_OPTIONS"' },
  IPAddressDeny: {
    deed: `perl -MSocket -e 'socket(R, AF_INET, SOCK_DGRAM, 0); bind(R, sockaddr_in(0, INADDR_LOOPBACK));
      socket(S, AF_INET, SOCK_DGRAM, 0); send(S, "x", 0, getsockname(R)) or exit 1;
      vec(my $ready = "", fileno(R), 1) = 1; exit(select($ready, undef, undef, 0.5) > 0 ? 0 : 1)'`,
  },
  MemoryMax: { deed: "perl -e '$x = \"x\" x (400 * 1024 * 1024)'" },
  TasksMax: { deed: "perl -e 'for (1 .. 80) { my $p = fork // exit 1; if (!$p) { sleep 2; exit } }'" },
};

/** Directives that say how the service runs and not what it may. */
export const manners: readonly string[] = `
  Type NotifyAccess ExecCondition ExecStart ExecReload SyslogIdentifier Environment TimeoutStartSec
  TimeoutStopSec WatchdogSec WatchdogSignal OOMPolicy Restart RestartSec RestartSteps
  RestartMaxDelaySec RestartPreventExitStatus User Group SupplementaryGroups StateDirectory
  StateDirectoryMode SuccessExitStatus CacheDirectory CacheDirectoryMode RuntimeDirectory RuntimeDirectoryMode ConfigurationDirectory
  ConfigurationDirectoryMode
`
  .trim()
  .split(/\s+/);

/** Directives without a deed of their own, and why. */
export const unprobed: Readonly<Record<string, string>> = {
  AmbientCapabilities: "empty is systemd's default; it is written down against drop-ins",
  BindPaths: "gives and takes nothing where there is no TPM; the virtual machine has one",
  DeviceAllow: "goes with DevicePolicy",
  SystemCallErrorNumber: "goes with SystemCallFilter",
  SystemCallArchitectures: "wants a program of another architecture to be refused",
  RemoveIPC: "works when the service has stopped, on what PrivateIPC already keeps apart",
  KeyringMode: "private is systemd's default for services",
};
