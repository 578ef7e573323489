import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["hardware-tests/*.test.ts"],
    // A token may not take two logins at a time, and slow ones take seconds for a signature.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Node does not unwrap the default of a CommonJS package, so neither may the tests.
    deps: { interopDefault: false },
  },
});
