import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { startScript, type Script } from "./start-script.ts";

type Transport = "mqtt" | "mqtt-ws" | "http";

/** How the gateway made of Azure's SDK connects. */
export interface GatewaySettings {
  readonly registrationId: string;
  readonly dpsTransport: Transport;
  readonly hubTransport: Transport;
  readonly credential:
    | { readonly deviceKey: string }
    | { readonly certPem: string; readonly keyPem: string }
    | { readonly tpmPort: number };
}

/** A cloud on the ports that the SDKs have built in, and a folder for what they read from files. */
export interface Workshop extends AsyncDisposable {
  readonly cloud: Cloud;
  readonly caFile: string;
  start(settings: GatewaySettings): Promise<Script>;
}

export async function openWorkshop(): Promise<Workshop> {
  await using parts = new AsyncDisposableStack();
  // Says what it misses, and is over at once when everything is there.
  await promisify(execFile)("sh", [".ci/ready", "interop"], { cwd: join(import.meta.dirname, "../..") });
  const folder = await mkdtemp(join(tmpdir(), "latebind-interop-"));
  parts.defer(async () => rm(folder, { recursive: true }));
  const cloud = parts.use(await startCloud({ pollAfterSeconds: 1, httpsPort: 443 }));
  const write = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };
  const caFile = await write("ca.pem", cloud.caPem);
  const running = parts.move();
  return {
    cloud,
    caFile,
    async start({ registrationId, dpsTransport, hubTransport, credential }) {
      let shown: Record<string, string> = {};
      if ("deviceKey" in credential) shown = { DEVICE_KEY: credential.deviceKey };
      else if ("tpmPort" in credential) shown = { TPM_PORT: String(credential.tpmPort) };
      else {
        shown = {
          CERT_FILE: await write(`${registrationId}.pem`, credential.certPem),
          KEY_FILE: await write(`${registrationId}.key`, credential.keyPem),
        };
      }
      return startScript("sdk-gateway.mjs", {
        NODE_EXTRA_CA_CERTS: caFile,
        DPS_HOST: cloud.dps.host,
        ID_SCOPE: cloud.idScope,
        REGISTRATION_ID: registrationId,
        DPS_TRANSPORT: dpsTransport,
        HUB_TRANSPORT: hubTransport,
        ...shown,
      });
    },
    [Symbol.asyncDispose]: async () => running.disposeAsync(),
  };
}
