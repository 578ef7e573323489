import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["hardware-tests/vm/**/*.test.ts"],
    // Everything is emulated, and a machine boots in half a minute at best.
    fileParallelism: false,
    // Each test takes a minute or more: whoever waits wants to see how far it is.
    reporters: ["verbose"],
    deps: { interopDefault: false },
    testTimeout: 600_000,
    hookTimeout: 900_000,
  },
});
