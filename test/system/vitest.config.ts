import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/system/**/*.test.ts"],
    // Each file boots machines of its own; two cores bear one at a time.
    fileParallelism: false,
    deps: { interopDefault: false },
    testTimeout: 120_000,
    hookTimeout: 900_000,
  },
});
