import { AgentError } from "../src/platform/failure.ts";

/** The AgentError that some work ends with. Success, and errors of any other kind, fail the test. */
export async function failureOf(work: Promise<unknown>): Promise<AgentError> {
  const outcome: unknown = await work.then(
    () => "it did not fail",
    (error: unknown) => error,
  );
  if (outcome instanceof AgentError) return outcome;
  throw new Error(`expected an AgentError, got ${String(outcome)}`, { cause: outcome });
}
