import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["hardware-tests/*.test.ts"],
    // A token may not take two logins at a time, and slow ones take seconds for a signature.
    fileParallelism: false,
    testTimeout: 120_000,
  },
});
