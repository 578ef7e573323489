import * as v from "valibot";
import type { CredentialPolicies } from "./credential-policies.ts";
import { parse } from "./enrollment-spec.ts";

/** The numbers that ship, and those that the preview was seen to send before. */
const errorNumbers = {
  shipping: { invalid: 400_040, notJson: 400_040, csrRefused: 400_040, conflict: 409_005 },
  observed: { invalid: 400_004, notJson: 400_006, csrRefused: 400_037, conflict: 409_004 },
} as const;

const wholeNumber = v.pipe(v.number(), v.integer(), v.minValue(0));
const refusal = v.strictObject({
  errorCode: v.picklist([429_002, 429_003, 500_001, 503_001]),
  times: v.pipe(v.number(), v.integer(), v.minValue(1)),
  retryAfterSeconds: v.optional(wholeNumber),
});
export const issuanceChange = v.strictObject({
  policy: v.optional(v.nullable(v.string())),
  signingMs: v.optional(wholeNumber),
  errorNumbers: v.optional(v.picklist(["shipping", "observed"])),
  refuse: v.optional(v.nullable(refusal)),
});

/** `policy: null` takes certificate management from the hub; `refuse` answers the next requests with an error. */
export type IssuanceChange = v.InferInput<typeof issuanceChange>;
type Refusal = v.InferOutput<typeof refusal>;

interface Settings {
  /** A credential policy of the cloud, the first there is where nobody chose one; null for none. */
  readonly policy: string | null;
  /** How long after the 202 the result is there. */
  readonly signingMs: number;
  readonly errorNumbers: keyof typeof errorNumbers;
  readonly refuse?: Refusal;
}

/** What an operator has said about issuing certificates at one hub. */
export class IssuanceSettings {
  readonly #policies: CredentialPolicies;
  #policy: { readonly name: string | null } | undefined;
  #signingMs = 0;
  #errorNumbers: keyof typeof errorNumbers = "shipping";
  #refusal: Refusal | undefined;

  constructor(policies: CredentialPolicies) {
    this.#policies = policies;
  }

  get(): Settings {
    const policy = this.#policy === undefined ? this.#policies.list()[0]?.name : this.#policy.name;
    return {
      policy: policy ?? null,
      signingMs: this.#signingMs,
      errorNumbers: this.#errorNumbers,
      ...(this.#refusal === undefined ? {} : { refuse: this.#refusal }),
    };
  }

  /** @throws CloudError 400 for nonsense, 404 for an unknown policy. */
  change(input: IssuanceChange): Settings {
    const { policy, signingMs, errorNumbers, refuse } = parse(issuanceChange, input);
    if (policy !== undefined && policy !== null) this.#policies.get(policy);
    if (policy !== undefined) this.#policy = { name: policy };
    this.#signingMs = signingMs ?? this.#signingMs;
    this.#errorNumbers = errorNumbers ?? this.#errorNumbers;
    if (refuse !== undefined) this.#refusal = refuse ?? undefined;
    return this.get();
  }

  numbers(): Readonly<Record<"invalid" | "notJson" | "csrRefused" | "conflict", number>> {
    return errorNumbers[this.#errorNumbers];
  }

  /** The refusal to answer this request with, if one is due. */
  takeRefusal(): Refusal | undefined {
    const refusal = this.#refusal;
    if (refusal !== undefined) {
      this.#refusal = refusal.times > 1 ? { ...refusal, times: refusal.times - 1 } : undefined;
    }
    return refusal;
  }
}
