import { startScript, type Script } from "./start-script.ts";

export interface SdkDeviceSettings {
  readonly dpsHost: string;
  readonly idScope: string;
  readonly registrationId: string;
  readonly deviceKey: string;
  /** PEM file with the CA to trust beside the usual ones. */
  readonly caFile: string;
}

/** Starts `sdk-device.mjs`: a device in a process of its own, made of Azure's Node SDK and nothing of ours. */
export function startSdkDevice(settings: SdkDeviceSettings): Script {
  return startScript("sdk-device.mjs", {
    NODE_EXTRA_CA_CERTS: settings.caFile,
    DPS_HOST: settings.dpsHost,
    ID_SCOPE: settings.idScope,
    REGISTRATION_ID: settings.registrationId,
    DEVICE_KEY: settings.deviceKey,
  });
}
