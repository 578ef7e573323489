import { defineConfig } from "vitest/config";
import { whyNotPort443 } from "./low-ports.ts";

const refused = whyNotPort443();
const needPort443 = [
  "test/interop/azure-gateway.test.ts",
  "test/interop/azure-tpm.test.ts",
  "test/interop/recipes.test.ts",
];
if (refused !== undefined) for (const file of needPort443) console.log(`skipped: ${file}: ${refused}`);

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // The system tests want root and minutes: npm run test:system.
    exclude: [
      "test/interop/node_modules/**",
      "test/system/**",
      ...(refused === undefined ? [] : needPort443),
    ],
    // Node does not unwrap the default of a CommonJS package, so neither may the tests.
    deps: { interopDefault: false },
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
