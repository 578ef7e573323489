import { afterAll, beforeAll, describe } from "vitest";
import { TpmDevice } from "../../src/identity/tpm/tpm-device.ts";
import { describeHmacKeyContract } from "../contract/key.ts";
import { SoftTpm } from "./soft-tpm.ts";
import { tpmHmacSpecimen } from "./tpm-hmac-specimen.ts";

let soft: SoftTpm;

beforeAll(async () => {
  soft = await SoftTpm.start();
});
afterAll(async () => soft[Symbol.asyncDispose]());

describe("a symmetric key that a service gave to a TPM", () => {
  describeHmacKeyContract(async () => tpmHmacSpecimen(new TpmDevice(soft.open())));
});
