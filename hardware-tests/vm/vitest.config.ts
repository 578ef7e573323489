import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["hardware-tests/vm/**/*.test.ts"],
    // Everything is emulated, and a machine boots in half a minute at best.
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 900_000,
  },
});
