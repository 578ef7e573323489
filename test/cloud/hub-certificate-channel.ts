import type { Channel, DeviceLine } from "./hub-channel.ts";
import { hubErrorBody } from "./hub-error-body.ts";
import type { IssuanceAnswer } from "./hub-issuance.ts";

const answers = "$iothub/credentials/res/#";
const requests = "$iothub/credentials/POST/issueCertificate/";
const requestTopic = /^\$iothub\/credentials\/POST\/issueCertificate\/\?\$rid=([^&]*)$/;
/** The only api-version that knows these topics. */
const apiVersion = "2025-08-01-preview";

interface CertificateChannel extends Channel {
  deliver(): void;
}

/**
 * Renewal of the device's certificate. Without a request ID there is no answer; without a subscription neither, but a result
 * is kept for the next one. Exists where the device asked for the preview and the hub has a credential policy.
 */
export function createCertificateChannel({
  hub,
  journal,
  clock,
  line,
  login,
}: DeviceLine): CertificateChannel {
  const { clientId } = line;
  const isOffered = (): boolean =>
    login.apiVersion === apiVersion && hub.issuance.settings.get().policy !== null;
  const sent = new Set<IssuanceAnswer>();

  function send({ rid, status, body }: IssuanceAnswer, taken?: () => void): boolean {
    const isSent = line.send(
      answers,
      `$iothub/credentials/res/${status}/?$rid=${rid}`,
      JSON.stringify(body),
      taken,
    );
    if (isSent) {
      const { errorCode } = body;
      const error = typeof errorCode === "number" ? { errorCode } : {};
      journal.record({ endpoint: hub.name, kind: "certificate", clientId, rid, status, ...error });
    }
    return isSent;
  }

  function deliver(): void {
    for (const result of hub.issuance.untaken(clientId)) {
      if (!sent.has(result) && send(result, () => hub.issuance.markTaken(clientId, result))) sent.add(result);
    }
  }

  return {
    filters: isOffered() ? [answers] : [],
    acceptsTopic: (topic) => isOffered() && topic.startsWith(requests),
    received({ topic, payload }) {
      const rid = requestTopic.exec(topic)?.[1];
      if (rid === undefined || rid === "") return;
      if (login.proof === "certificate") {
        send(hub.issuance.request(clientId, rid, payload.toString()));
        return;
      }
      const body = hubErrorBody(401_002, "certificates are issued over X.509 connections", clock.now());
      send({ rid, status: 401, body });
    },
    subscribed(filter) {
      if (filter === answers) deliver();
    },
    deliver,
  };
}
