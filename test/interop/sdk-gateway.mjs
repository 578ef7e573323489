// Azure's packages are there only when this runs, not when it is linted: their types are unknown.
/* oxlint-disable typescript/no-unsafe-assignment, typescript/strict-boolean-expressions */

// A gateway made of Azure's unmodified Node SDK: any attestation, any transport. It provisions, then does what the hub
// transport can: twin, telemetry, a direct method, cloud-to-device messages, until it is told "goodbye" by one.
// What happens is told on stdout, one JSON object a line; exit code 1 when the SDK failed.
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { promisify } from "node:util";
import device from "azure-iot-device";
import deviceHttp from "azure-iot-device-http";
import deviceMqtt from "azure-iot-device-mqtt";
import provisioning from "azure-iot-provisioning-device";
import provisioningHttp from "azure-iot-provisioning-device-http";
import provisioningMqtt from "azure-iot-provisioning-device-mqtt";
import symmetricKey from "azure-iot-security-symmetric-key";
import securityTpm from "azure-iot-security-tpm";
import securityX509 from "azure-iot-security-x509";
import tss from "tss.js";

const { Client, Message } = device;
const { DPS_HOST, ID_SCOPE, REGISTRATION_ID, DPS_TRANSPORT, HUB_TRANSPORT } = process.env;
const { DEVICE_KEY, CERT_FILE, KEY_FILE, TPM_PORT } = process.env;
const dpsTransports = {
  mqtt: provisioningMqtt.Mqtt,
  "mqtt-ws": provisioningMqtt.MqttWs,
  http: provisioningHttp.Http,
};
const hubTransports = { mqtt: deviceMqtt.Mqtt, "mqtt-ws": deviceMqtt.MqttWs, http: deviceHttp.Http };
const HubTransport = hubTransports[HUB_TRANSPORT];

function tell(event, facts) {
  process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`);
}

function certificate() {
  return { cert: readFileSync(CERT_FILE, "utf8"), key: readFileSync(KEY_FILE, "utf8") };
}

async function openTpm() {
  const tpm = new tss.Tpm(true, "127.0.0.1", Number(TPM_PORT));
  const security = new securityTpm.TpmSecurityClient(REGISTRATION_ID, tpm);
  const endorsementKey = await promisify(security.getEndorsementKey.bind(security))();
  tell("tpm", { endorsementKey: endorsementKey.toString("base64") });
  // Whoever runs this enrolls the key and says so by a line.
  await once(process.stdin, "data");
  process.stdin.destroy();
  return security;
}

/** What proves who this is, and how it becomes a client of the hub. */
async function attest() {
  if (TPM_PORT) {
    const security = await openTpm();
    const open = ({ assignedHub, deviceId }) =>
      Client.fromAuthenticationProvider(
        securityTpm.TpmAuthenticationProvider.fromTpmSecurityClient(deviceId, assignedHub, security),
        HubTransport,
      );
    return { security, open };
  }
  if (CERT_FILE) {
    const open = async ({ assignedHub, deviceId }) => {
      const client = Client.fromConnectionString(
        `HostName=${assignedHub};DeviceId=${deviceId};x509=true`,
        HubTransport,
      );
      // Over HTTPS the SDK comes back from this only when it is told how to receive, too.
      await client.setOptions({ ...certificate(), http: { receivePolicy: { interval: 1 } } });
      return client;
    };
    return { security: new securityX509.X509Security(REGISTRATION_ID, certificate()), open };
  }
  const open = ({ assignedHub, deviceId }) =>
    Client.fromConnectionString(
      `HostName=${assignedHub};DeviceId=${deviceId};SharedAccessKey=${DEVICE_KEY}`,
      HubTransport,
    );
  return { security: new symmetricKey.SymmetricKeySecurityClient(REGISTRATION_ID, DEVICE_KEY), open };
}

function listenForMessages(client) {
  const goodbye = Promise.withResolvers();
  client.on("error", (error) => goodbye.reject(error));
  client.on("message", (message) => {
    client.complete(message, (error) => {
      const body = message.getData().toString();
      const { messageId, properties } = message;
      const bag = properties.propertyList.map(({ key, value }) => [key, value]);
      tell("message", { body, messageId, properties: Object.fromEntries(bag), isCompleted: !error });
      if (body === "goodbye") goodbye.resolve();
    });
  });
  return goodbye.promise;
}

async function sendTelemetry(client) {
  const message = new Message(JSON.stringify({ degrees: 21.5 }));
  message.contentType = "application/json";
  message.contentEncoding = "utf-8";
  message.messageId = "telemetry-1";
  message.properties.add("hall", "7 & 8");
  await client.sendEvent(message);
  tell("sent");
}

async function useTwin(client) {
  const twin = await client.getTwin();
  tell("twin", { desired: twin.properties.desired });
  const updated = Promise.withResolvers();
  twin.properties.reported.update({ rack: 7 }, (error) => {
    if (error) updated.reject(error);
    else updated.resolve();
  });
  await updated.promise;
  tell("reported");
}

function offerMethod(client) {
  client.onDeviceMethod("restart", (request, response) => {
    tell("method", { name: request.methodName, payload: request.payload });
    response.send(202, { restarting: request.payload }, () => {});
  });
}

try {
  const { security, open } = await attest();
  const transport = new dpsTransports[DPS_TRANSPORT]();
  const dps = provisioning.ProvisioningDeviceClient.create(DPS_HOST, ID_SCOPE, transport, security);
  const answer = await dps.register();
  // The TPM's registration hands out the whole answer, the others only what matters.
  const assignment = answer.registrationState ?? answer;
  tell("assigned", { hub: assignment.assignedHub, deviceId: assignment.deviceId });
  const client = await open(assignment);
  await client.open();
  const goodbye = listenForMessages(client);
  if (HUB_TRANSPORT !== "http") {
    offerMethod(client);
    await useTwin(client);
  }
  await sendTelemetry(client);
  tell("ready");
  await goodbye;
  await client.close();
  tell("closed");
  // The TPM's connection and the SDK's polling of messages would go on.
  process.exit(0);
} catch (error) {
  // Over HTTPS the service's answer is left as text.
  const answer = error.responseBody ? JSON.parse(error.responseBody) : error.result;
  tell("failed", { name: error.name, message: error.message, answer });
  process.exit(1);
}
