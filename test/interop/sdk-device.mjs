// Azure's packages are there only when this runs, not when it is linted: their types are unknown.
/* oxlint-disable typescript/no-unsafe-assignment, typescript/strict-boolean-expressions */

// A device made of Azure's unmodified Node SDK: asks DPS where it belongs, connects there, reports, and follows its twin
// until a desired change arrives. What happens is told on stdout, one JSON object a line; exit code 1 when the SDK failed.
import { Client } from "azure-iot-device";
import { Mqtt as HubTransport } from "azure-iot-device-mqtt";
import provisioning from "azure-iot-provisioning-device";
import { Mqtt as DpsTransport } from "azure-iot-provisioning-device-mqtt";
import { SymmetricKeySecurityClient } from "azure-iot-security-symmetric-key";

const { DPS_HOST, ID_SCOPE, REGISTRATION_ID, DEVICE_KEY } = process.env;

function tell(event, facts) {
  process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`);
}

async function provision() {
  const security = new SymmetricKeySecurityClient(REGISTRATION_ID, DEVICE_KEY);
  const client = provisioning.ProvisioningDeviceClient.create(
    DPS_HOST,
    ID_SCOPE,
    new DpsTransport(),
    security,
  );
  client.setProvisioningPayload({ rack: 7 });
  const { assignedHub, deviceId, substatus, payload } = await client.register();
  tell("assigned", { hub: assignedHub, deviceId, substatus, payload });
  return `HostName=${assignedHub};DeviceId=${deviceId};SharedAccessKey=${DEVICE_KEY}`;
}

async function live(connectionString) {
  const client = Client.fromConnectionString(connectionString, HubTransport);
  await client.open();
  tell("connected");
  const twin = await client.getTwin();
  tell("twin", { desired: twin.properties.desired });

  // The SDK calls a new listener at once with what it has; only a newer version is a change.
  const fetched = twin.properties.desired.$version;
  const changed = Promise.withResolvers();
  twin.on("properties.desired", (patch) => {
    if (patch.$version > fetched) changed.resolve(patch);
  });
  const reported = Promise.withResolvers();
  twin.properties.reported.update({ rack: 7, gone: null }, (error) => {
    if (error) reported.reject(error);
    else reported.resolve();
  });
  await reported.promise;
  tell("reported");
  tell("changed", { patch: await changed.promise });
  await client.close();
  tell("closed");
}

try {
  await live(await provision());
} catch (error) {
  tell("failed", { name: error.name, message: error.message, answer: error.result });
  process.exitCode = 1;
}
