import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { createKey } from "./hub.ts";
import { anyText, textMatching } from "./matchers.ts";
import { connectClient, type DpsClient, type Told, type Transport } from "./test-dps-client.ts";
import { createRoot, createSelfSigned, type TestAuthority } from "./test-pki.ts";
import { startWebhook } from "./test-webhook.ts";

let cloud: Cloud;
let root: TestAuthority;
let opened = new AsyncDisposableStack();

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 3 });
  root = await createRoot("Root");
});
afterEach(async () => {
  await opened.disposeAsync();
  opened = new AsyncDisposableStack();
  cloud.faults.clear();
  cloud.levers.setPace({ waitingStatus: "assigning", registersPerMinute: 1000, pollsPer10Seconds: 1000 });
});
afterAll(async () => cloud[Symbol.asyncDispose]());

type Spec = Omit<Parameters<Cloud["levers"]["enrollments"]["put"]>[0], "registrationId">;

/** Until the test is over. */
async function connect(
  transport: Transport,
  id: string,
  credential: Parameters<typeof connectClient>[3],
): Promise<DpsClient> {
  return opened.use(await connectClient(cloud, transport, id, credential));
}

/** Enrolls a device and connects it. */
async function enrolled(transport: Transport, id: string, spec: Spec = {}): Promise<DpsClient> {
  const { primaryKey } = cloud.levers.enrollments.put({ registrationId: id, ...spec });
  return connect(transport, id, { key: primaryKey });
}

/** Shows a self-made certificate, or one of a CA's. */
async function certified(transport: Transport, id: string, signer?: TestAuthority): Promise<DpsClient> {
  const { certPem, keyPem } = await (signer === undefined ? createSelfSigned(id) : signer.leaf(id));
  return connect(transport, id, { cert: certPem, certKey: keyPem });
}

function strike(operation: "register" | "poll", status: number, errorCode: number, body?: string): void {
  cloud.faults.add({
    endpoint: "dps",
    when: { at: "request", operation },
    do: { act: "answer", status, ...(body === undefined ? { errorCode } : { body }) },
  });
}

interface Row {
  readonly told: string;
  readonly status: number;
  /** The answer's `status`, and with it the state's. */
  readonly state?: string;
  readonly errorCode?: number;
  readonly message?: string;
  readonly retryAfter?: string;
  readonly ask: (transport: Transport, id: string) => Promise<Told>;
}

const rows: readonly Row[] = [
  {
    told: "assigning",
    status: 202,
    state: "assigning",
    retryAfter: "3",
    ask: async (transport, id) => (await enrolled(transport, id)).register(),
  },
  {
    told: "unassigned",
    status: 202,
    state: "unassigned",
    retryAfter: "3",
    ask: async (transport, id) => {
      cloud.levers.setPace({ waitingStatus: "unassigned" });
      return (await enrolled(transport, id)).register();
    },
  },
  {
    told: "assigned",
    status: 200,
    state: "assigned",
    ask: async (transport, id) => (await enrolled(transport, id)).provision(),
  },
  {
    told: "disabled",
    status: 200,
    state: "disabled",
    errorCode: 0,
    ask: async (transport, id) => (await enrolled(transport, id, { enabled: false })).provision(),
  },
  {
    told: "blacklisted, which only old services say",
    status: 200,
    state: "blacklisted",
    ask: async (transport, id) => {
      strike("register", 200, 0, '{"operationId":"5.0.0","status":"blacklisted"}');
      return (await enrolled(transport, id)).register();
    },
  },
  {
    told: "failed: no hub linked",
    status: 200,
    state: "failed",
    errorCode: 400208,
    ask: async (transport, id) => (await enrolled(transport, id, { hub: null })).provision(),
  },
  {
    told: "failed: not authorized at the hub",
    status: 200,
    state: "failed",
    errorCode: 400209,
    ask: async (transport, id) => {
      cloud.levers.linkedHubs.setLink("production", { isAuthorized: false });
      const told = await (await enrolled(transport, id, { hub: "production" })).provision();
      cloud.levers.linkedHubs.setLink("production", { isAuthorized: true });
      return told;
    },
  },
  {
    told: "failed: custom allocation",
    status: 200,
    state: "failed",
    errorCode: 400207,
    ask: async (transport, id) => {
      await using webhook = await startWebhook();
      webhook.answer({ status: 503, body: "" });
      const spec: Spec = { allocationPolicy: "custom", webhookUrl: webhook.url };
      return await (await enrolled(transport, id, spec)).provision();
    },
  },
  {
    told: "401002 Unauthorized: another's key",
    status: 401,
    errorCode: 401002,
    message: "Unauthorized",
    ask: async (transport, id) => {
      cloud.levers.enrollments.put({ registrationId: id });
      return (await connect(transport, id, { key: createKey() })).register();
    },
  },
  {
    told: "401002 Invalid certificate",
    status: 401,
    errorCode: 401002,
    message: "Invalid certificate.",
    ask: async (transport, id) => {
      const { certPem, keyPem } = await createSelfSigned(id, { toDays: -1 });
      cloud.levers.enrollments.put({ registrationId: id, attestation: { type: "x509", primary: certPem } });
      return (await connect(transport, id, { cert: certPem, certKey: keyPem })).register();
    },
  },
  {
    told: "401002 CA certificate not found",
    status: 401,
    errorCode: 401002,
    message: "CA certificate not found.",
    ask: async (transport, id) => {
      const signingCertificates = [(await root.intermediate("Factory")).certPem];
      cloud.levers.enrollments.putGroup({
        groupId: "line",
        attestation: { type: "x509", signingCertificates },
      });
      const told = await (await certified(transport, id, root)).register();
      cloud.levers.enrollments.deleteGroup("line");
      return told;
    },
  },
  {
    told: "404201: nobody enrolled this key",
    status: 404,
    errorCode: 404201,
    message: "Enrollment not found.",
    ask: async (transport, id) => (await connect(transport, id, { key: createKey() })).register(),
  },
  {
    told: "404201: nobody enrolled this certificate",
    status: 404,
    errorCode: 404201,
    ask: async (transport, id) => (await certified(transport, id)).register(),
  },
  {
    told: "404203: an operation that never was",
    status: 404,
    errorCode: 404203,
    message: "Operation not found.",
    ask: async (transport, id) => (await enrolled(transport, id)).poll("5.0.0"),
  },
  {
    told: "429001 to a register call",
    status: 429,
    errorCode: 429001,
    retryAfter: "3",
    ask: async (transport, id) => {
      cloud.levers.setPace({ registersPerMinute: 0 });
      return (await enrolled(transport, id)).register();
    },
  },
  {
    told: "429001 to a poll",
    status: 429,
    errorCode: 429001,
    retryAfter: "3",
    ask: async (transport, id) => {
      cloud.levers.setPace({ pollsPer10Seconds: 0 });
      return (await enrolled(transport, id)).poll("5.0.0");
    },
  },
  {
    told: "400004: a request for another device",
    status: 400,
    errorCode: 400004,
    ask: async (transport, id) => (await enrolled(transport, id)).register({ registrationId: "another" }),
  },
  ...[400, 401, 404, 405, 409, 412, 415, 429, 500, 503].flatMap((status) =>
    (["register", "poll"] as const).map((operation) => ({
      told: `a bare ${status} to a ${operation} when it is scripted`,
      status,
      errorCode: status * 1000,
      ask: async (transport: Transport, id: string) => {
        strike(operation, status, status * 1000);
        const client = await enrolled(transport, id);
        return operation === "register" ? client.register() : client.poll("5.0.0");
      },
    })),
  ),
];

describe.each(["MQTT", "HTTPS"] as const)("over %s DPS tells", (transport) => {
  it.each(rows)("$told", async ({ ask, ...row }) => {
    const id = `${transport.toLowerCase()}-${row.told.toLowerCase().replaceAll(/[^a-z0-9]/g, "-")}`;
    const { status, retryAfter, body } = await ask(transport, id);
    const state = body.registrationState;
    expect({ status, retryAfter, state: body.status }).toEqual({
      status: row.status,
      retryAfter: row.retryAfter,
      state: row.state,
    });
    expect(state?.["status"] ?? body.status).toBe(row.state);
    expect(state?.["errorCode"] ?? body.errorCode).toBe(row.errorCode);
    const wording =
      status < 400 ? {} : { message: row.message ?? anyText, trackingId: anyText, timestampUtc: anyText };
    expect(body).toMatchObject(wording);
  });

  it("an assignment with every member that is documented, and its dates to seven digits", async () => {
    const client = await enrolled(transport, `${transport.toLowerCase()}-full`, { payload: { a: [1] } });
    const first = await client.register();
    expect(first.body.operationId).toMatch(/^\d\.[0-9a-f]{16}\.[0-9a-f-]{36}$/);
    const { body } = await client.poll(first.body.operationId ?? "");
    expect(body).toEqual({
      operationId: first.body.operationId,
      status: "assigned",
      registrationState: {
        registrationId: anyText,
        createdDateTimeUtc: textMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$/),
        lastUpdatedDateTimeUtc: textMatching(/\.\d{7}Z$/),
        assignedHub: cloud.hub("test").host,
        deviceId: `${transport.toLowerCase()}-full`,
        status: "assigned",
        substatus: "initialAssignment",
        etag: textMatching(/^[A-Za-z0-9+/]+=*$/),
        payload: { a: [1] },
        symmetricKey: {},
      },
    });
  });
});
