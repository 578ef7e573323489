import type { ControlledAgent } from "./controlled-agent.ts";

interface Metric {
  readonly name: string;
  readonly kind: "counter" | "gauge";
  readonly help: string;
  readonly samples: readonly { readonly labels?: Readonly<Record<string, string>>; readonly value: number }[];
}

/**
 * The agent's figures as Prometheus reads them.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */
export function renderMetrics(agent: ControlledAgent): string {
  return metricsOf(agent)
    .filter(({ samples }) => samples.length > 0)
    .map(({ name, kind, help, samples }) => {
      const lines = samples.map(({ labels = {}, value }) => `${name}${renderLabels(labels)} ${value}\n`);
      return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${lines.join("")}`;
    })
    .join("");
}

function metricsOf({ desk, version }: ControlledAgent): readonly Metric[] {
  const { outbox, health, connectedSinceMs, twin } = desk;
  const counted = (name: string) => desk.counters.list().filter((count) => count.name === name);
  const connectedSince = connectedSinceMs === undefined ? [] : [{ value: connectedSinceMs / 1000 }];
  return [
    gauge("latebind_info", "The running agent.", [{ labels: { version }, value: 1 }]),
    gauge("latebind_connected", "1 while the hub has the device.", [
      { value: health.at === "connected" ? 1 : 0 },
    ]),
    gauge("latebind_connected_since_seconds", "Since when, Unix time.", connectedSince),
    gauge("latebind_started_seconds", "Start of the process, Unix time.", [
      { value: desk.startedAtMs / 1000 },
    ]),
    gauge(
      "latebind_desired_version",
      "Version of the desired properties known last.",
      twin === undefined ? [] : [{ value: twin.desired.version }],
    ),
    gauge("latebind_failed_properties", "Desired properties that are not in force.", [
      { value: health.at === "connected" ? health.failed.length : 0 },
    ]),
    counter("latebind_sessions_total", "Sessions with a hub.", counted("sessions")),
    counter("latebind_failures_total", "Steps that failed, by code.", counted("failures")),
    counter("latebind_method_calls_total", "Direct methods answered, by status.", counted("method_calls")),
    counter("latebind_cloud_messages_total", "Messages from the cloud.", counted("cloud_messages")),
    counter(
      "latebind_control_requests_total",
      "Requests on the socket, by status.",
      counted("control_requests"),
    ),
    counter("latebind_telemetry_sent_total", "Messages that the hub has.", [{ value: outbox.sent }]),
    counter("latebind_telemetry_dropped_total", "Messages dropped while offline.", [
      { value: outbox.dropped },
    ]),
    gauge("latebind_telemetry_waiting", "Messages that wait for a line.", [{ value: outbox.waiting }]),
    gauge("process_resident_memory_bytes", "Resident memory.", [{ value: process.memoryUsage.rss() }]),
  ];
}

function gauge(name: string, help: string, samples: Metric["samples"]): Metric {
  return { name, kind: "gauge", help, samples };
}

function counter(name: string, help: string, samples: Metric["samples"]): Metric {
  return { name, kind: "counter", help, samples };
}

function renderLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
